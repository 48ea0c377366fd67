#include "base/cpu.h"
#include "ops/quant/quant.h"
#include "ops/testbed.h"

#include <cstring>
#include <limits>

namespace tnl::testing {
namespace {

constexpr QuantFormat kFormats[] = {QuantFormat::int8, QuantFormat::int4};

struct Quantized {
    OwnedTensor bytes;
    QuantMatrix matrix;
    Quantized(CpuBed& bed, QuantFormat format, const Tensor& w)
        : bytes(*bed.device, DType::u8, {w.shape[0], quant_row_bytes(format, w.shape[1])}),
          matrix{bytes, w.shape[1], format} {
        for (int64_t n = 0; n < w.shape[0]; ++n)
            quantize_row(format, row(n), w.as<float>() + n * w.shape[1], w.shape[1]);
    }
    uint8_t* row(int64_t n) const { return bytes.as<uint8_t>() + n * bytes.shape[1]; }
    // The matrix that the bytes stand for.
    OwnedTensor values(CpuBed& bed, DType dtype) const {
        OwnedTensor out(*bed.device, dtype, {matrix.rows(), matrix.cols});
        dispatch_float(dtype, [&]<class T>() {
            for (int64_t n = 0; n < matrix.rows(); ++n)
                dequantize_row(matrix.format, out.as<T>() + n * matrix.cols, row(n), matrix.cols);
        });
        return out;
    }
};

TEST(Quant, BlocksAreWholePacksOf16Bytes) {
    EXPECT_EQ(quant_block_bytes(QuantFormat::int8, kQuantBlock), 1040);
    EXPECT_EQ(quant_block_bytes(QuantFormat::int4, kQuantBlock), 544);
    EXPECT_EQ(quant_row_bytes(QuantFormat::int8, 2816), 2 * 1040 + 768 + 16);
    EXPECT_EQ(quant_row_bytes(QuantFormat::int4, 2816), 2 * 544 + 384 + 32);
    for (const QuantFormat format : kFormats)
        for (int64_t K = 1; K < 3000; K += 7) EXPECT_EQ(quant_row_bytes(format, K) % 16, 0) << K;
}

// The relative error of normal numbers: a step of 8 bits is 1/127 of a group's largest, near 2.7
// sigma; in 4 bits the best scale leaves 9 %.
TEST(Quant, NormalNumbersComeBackWithinTheFormatsError) {
    CpuBed bed;
    const OwnedTensor w = bed.normal(DType::f32, {16, 2816}, 1, 0.02);
    const double wanted[] = {0.0068, 0.092};
    for (const QuantFormat format : kFormats) {
        const OwnedTensor back = Quantized(bed, format, w).values(bed, DType::f32);
        double error = 0, all = 0;
        for (int64_t i = 0; i < w.size(); ++i) {
            const double x = static_cast<double>(w.as<float>()[i]);
            const double d = static_cast<double>(back.as<float>()[i]) - x;
            error += d * d;
            all += x * x;
        }
        EXPECT_LT(std::sqrt(error / all), wanted[format == QuantFormat::int4]);
    }
}

TEST(Quant, WhatIsQuantizedOnceStaysAsItIs) {
    CpuBed bed;
    const OwnedTensor w = bed.normal(DType::f32, {3, 300}, 2, 0.02);
    for (const QuantFormat format : kFormats) {
        const Quantized once(bed, format, w);
        const OwnedTensor values = once.values(bed, DType::f32);
        EXPECT_TRUE(close(Quantized(bed, format, values).values(bed, DType::f32), values, 0.005));
    }
}

TEST(Quant, OddGroups) {
    for (const QuantFormat format : kFormats) {
        // zeros, tiny numbers, huge ones; one number
        for (const float size : {0.0f, 1e-35f, 1e37f}) {
            std::vector<float> x(200), back(200);
            for (size_t i = 0; i < x.size(); ++i)
                x[i] = size * (static_cast<float>(i % 15) - 7) / 7;
            std::vector<uint8_t> row(static_cast<size_t>(quant_row_bytes(format, 200)));
            quantize_row(format, row.data(), x.data(), 200);
            dequantize_row(format, back.data(), row.data(), 200);
            for (size_t i = 0; i < x.size(); ++i)
                EXPECT_NEAR(back[i] / (size > 0 ? size : 1), x[i] / (size > 0 ? size : 1), 0.07);
        }
        const float one = -0.3f;
        std::vector<uint8_t> row(static_cast<size_t>(quant_row_bytes(format, 1)));
        float back = 0;
        quantize_row(format, row.data(), &one, 1);
        dequantize_row(format, &back, row.data(), 1);
        EXPECT_NEAR(back, one, 0.002);
    }
}

TEST(Quant, ImportantNumbersErrLess) {
    CpuBed bed;
    const OwnedTensor w = bed.normal(DType::f32, {1, 64}, 3);
    std::vector<float> importance(64, 1.0f), back(64);
    importance[5] = 1e4f;
    std::vector<uint8_t> row(static_cast<size_t>(quant_row_bytes(QuantFormat::int4, 64)));
    const auto error = [&](const float* weights) {
        quantize_row(QuantFormat::int4, row.data(), w.as<float>(), 64, weights);
        dequantize_row(QuantFormat::int4, back.data(), row.data(), 64);
        return std::abs(back[5] - w.as<float>()[5]);
    };
    const float plain = error(nullptr);
    EXPECT_LT(error(importance.data()), plain);
}

TEST(Quant, BadScalesAreFound) {
    std::vector<float> x(300, 1.0f);
    std::vector<uint8_t> row(static_cast<size_t>(quant_row_bytes(QuantFormat::int8, 300)));
    quantize_row(QuantFormat::int8, row.data(), x.data(), 300);
    EXPECT_EQ(first_bad_scale(QuantFormat::int8, row.data(), 300).first, -1);
    row[384 + 3] = 0x7f; // scales follow 3 groups of 128 codes
    row[384 + 2] = 0x80;
    EXPECT_EQ(first_bad_scale(QuantFormat::int8, row.data(), 300).first, 1);
}

// The activations as the CPU rounds them: whole numbers of 16 or 8 bits, a scale for each group.
OwnedTensor rounded(CpuBed& bed, const Tensor& a, QuantFormat format) {
    OwnedTensor out(*bed.device, DType::f64, {a.shape[0], a.shape[1]});
    const float most = format == QuantFormat::int8 ? 32767 : 127;
    const int64_t K = a.shape[1], group = quant_group(format);
    for (int64_t m = 0; m < a.shape[0]; ++m)
        for (int64_t begin = 0; begin < K; begin += group) {
            const int64_t end = std::min(K, begin + group);
            float largest = 0;
            const auto x = [&](int64_t k) { return static_cast<float>(value_at(a, m * K + k)); };
            for (int64_t k = begin; k < end; ++k) largest = std::max(largest, std::abs(x(k)));
            for (int64_t k = begin; k < end; ++k) {
                const float inverse = most / largest;
                // Loops compiled for AVX2 round once where the others round the product, too.
                const double ratio = cpu_features().avx2
                                         ? static_cast<double>(x(k)) * static_cast<double>(inverse)
                                         : static_cast<double>(x(k) * inverse);
                set_value(out, m * K + k,
                          std::nearbyint(ratio) * static_cast<double>(largest / most));
            }
        }
    return out;
}

struct Case {
    QuantFormat format;
    int64_t M, N, K;
};

class QuantGemm : public ::testing::TestWithParam<Case> {
  protected:
    OwnedTensor product(const Kernels& kernels, CpuBed& on, DType dtype, float beta) {
        const Case& p = GetParam();
        const Strided a(on, dtype, p.M, p.K, 5);
        OwnedTensor c = exact_normal(on, dtype, {p.M, p.N}, 6);
        kernels.quant_gemm(on.stream(), c, a.view, b.matrix, beta, {});
        return c;
    }
    // a times the real numbers that the bytes stand for, in f64
    OwnedTensor real(const Tensor& a, float beta) {
        OwnedTensor c = exact_normal(bed, DType::f64, {GetParam().M, GetParam().N}, 6);
        cpu_oracle_kernels().gemm(bed.stream(), c, a, b.values(bed, DType::f64), false, true, 1,
                                  beta);
        return c;
    }
    CpuBed bed;
    Quantized b{bed, GetParam().format,
                bed.normal(DType::f32, {GetParam().N, GetParam().K}, 4, 0.05)};
};

TEST_P(QuantGemm, MatchesWeightsAsRealNumbers) {
    const Case& p = GetParam();
    CpuBed one(1);
    const Strided a(bed, DType::f64, p.M, p.K, 5);
    for (const float beta : {0.0f, 1.0f}) {
        const OwnedTensor exact = real(a.view, beta);
        EXPECT_TRUE(close(product(cpu_oracle_kernels(), bed, DType::f64, beta), exact, 1e-12));
        EXPECT_TRUE(close(product(cpu_kernels(), bed, DType::f64, beta), exact, 1e-12));
        EXPECT_TRUE(close(product(cpu_oracle_kernels(), bed, DType::f32, beta), exact, 1e-6));
        const OwnedTensor f32 = product(cpu_kernels(), bed, DType::f32, beta);
        EXPECT_TRUE(identical(f32, product(cpu_kernels(), one, DType::f32, beta)));
        // With activations as whole numbers nothing but sums in f32 is left.
        EXPECT_TRUE(close(f32, real(rounded(bed, a.view, p.format), beta), 1e-5));
        const bool fine = p.format == QuantFormat::int8;
        EXPECT_TRUE(close(f32, exact, fine ? 5e-5 : 0.015));
        // Activations of 16 bits are finer than bf16.
        const OwnedTensor half = product(cpu_kernels(), bed, DType::bf16, beta);
        const OwnedTensor plain = product(cpu_oracle_kernels(), bed, DType::bf16, beta);
        EXPECT_TRUE(fine ? within_twice(half, plain, exact) : close(half, exact, 0.02));
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, QuantGemm, ::testing::ValuesIn([] {
                             std::vector<Case> cases;
                             for (const QuantFormat format : kFormats)
                                 for (const std::array<int64_t, 3>& s :
                                      {std::array<int64_t, 3>{1, 70, 1024},
                                       {1, 5, 2816},
                                       {3, 130, 352},
                                       {8, 9, 64},
                                       {21, 33, 1100},
                                       {2, 3, 5}})
                                     cases.push_back({format, s[0], s[1], s[2]});
                             return cases;
                         }()),
                         [](const auto& test) {
                             const Case& p = test.param;
                             return fmt::format("{}_{}x{}x{}", name_of(p.format), p.M, p.N, p.K);
                         });

TEST(QuantProduct, ARowDoesNotDependOnOthers) {
    CpuBed bed;
    const OwnedTensor w = bed.normal(DType::f32, {100, 1500}, 7, 0.05);
    for (const QuantFormat format : kFormats)
        for (const DType dtype : {DType::f32, DType::bf16}) {
            const Quantized b(bed, format, w);
            const OwnedTensor a = bed.normal(dtype, {19, 1500}, 8);
            OwnedTensor all(*bed.device, DType::f32, {19, 100}),
                one(*bed.device, DType::f32, {1, 100});
            cpu_kernels().quant_gemm(bed.stream(), all, a, b.matrix, 0, {});
            for (const int64_t m : {0, 7, 8, 18}) {
                cpu_kernels().quant_gemm(bed.stream(), one, a.slice(0, m, m + 1), b.matrix, 0, {});
                EXPECT_TRUE(identical(one, all.slice(0, m, m + 1)));
            }
        }
}

TEST(QuantProduct, WhatIsNotFiniteStaysInItsRow) {
    CpuBed bed;
    const OwnedTensor w = bed.normal(DType::f32, {10, 300}, 9);
    for (const QuantFormat format : kFormats) {
        const Quantized b(bed, format, w);
        OwnedTensor a = bed.normal(DType::f32, {2, 300}, 10), c(*bed.device, DType::f32, {2, 10});
        a.as<float>()[130] = std::numeric_limits<float>::infinity();
        cpu_kernels().quant_gemm(bed.stream(), c, a, b.matrix, 0, {});
        for (int64_t n = 0; n < 10; ++n) {
            EXPECT_TRUE(std::isnan(c.as<float>()[n]));
            EXPECT_TRUE(std::isfinite(c.as<float>()[10 + n]));
        }
    }
}

TEST(QuantProduct, ErrorsNameTheTensor) {
    CpuBed bed;
    const OwnedTensor w = bed.normal(DType::f32, {4, 64}, 11);
    const Quantized b(bed, QuantFormat::int8, w);
    const OwnedTensor a = bed.normal(DType::f32, {1, 65}, 12), c = bed.zeros(DType::f32, {1, 4});
    try {
        cpu_kernels().quant_gemm(bed.stream(), c, a, b.matrix, 0, {});
        FAIL();
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("a [1, 65] and b [4, 64] of int8"), std::string::npos)
            << e.what();
    }
}

} // namespace
} // namespace tnl::testing
