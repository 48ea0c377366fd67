// Numbers of 8 bits on the CPU: what the GPU is tested against.
#include "ops/fp8/fp8.h"

#include "ops/fp8/testbed.h"
#include "ops/testbed.h"

namespace tnl {
namespace {

using namespace testing;

constexpr Fp8Format kFormats[] = {Fp8Format::e4m3, Fp8Format::e5m2};

// The values of codes 0, 1, 2, ..., up to the largest, by the distance from one to the next: that
// of the subnormals, which doubles with each exponent but the first.
std::vector<double> ascending(Fp8Format format) {
    const bool e4m3 = format == Fp8Format::e4m3;
    std::vector<double> out{0};
    double step = e4m3 ? 0x1p-9 : 0x1p-16;
    const size_t of_exponent = e4m3 ? 8 : 4;
    while (out.back() < (e4m3 ? 448 : 57344)) {
        if (out.size() > 2 * of_exponent && (out.size() - 1) % of_exponent == 0) step *= 2;
        out.push_back(out.back() + step);
    }
    return out;
}

TEST(Fp8, EveryCodeHasItsValue) {
    EXPECT_EQ(fp8_value(0x38, Fp8Format::e4m3), 1);
    EXPECT_EQ(fp8_value(0xc1, Fp8Format::e4m3), -2.25f);
    EXPECT_EQ(fp8_value(0x7e, Fp8Format::e4m3), 448);
    EXPECT_EQ(fp8_value(0x3c, Fp8Format::e5m2), 1);
    EXPECT_EQ(fp8_value(0xc1, Fp8Format::e5m2), -2.5f);
    EXPECT_EQ(fp8_value(0x7b, Fp8Format::e5m2), 57344);
    EXPECT_EQ(fp8_value(0xfc, Fp8Format::e5m2), -std::numeric_limits<float>::infinity());
    for (const Fp8Format format : kFormats) {
        const std::vector<double> values = ascending(format);
        ASSERT_EQ(values.size(), format == Fp8Format::e4m3 ? 127u : 124u);
        for (size_t code = 0; code < 128; ++code)
            for (const size_t sign : {0u, 128u}) {
                const float value = fp8_value(static_cast<uint8_t>(code + sign), format);
                if (code < values.size())
                    EXPECT_EQ(value, sign ? -values[code] : values[code]) << code;
                else
                    EXPECT_FALSE(std::isfinite(value)) << code;
                if (std::isfinite(value)) {
                    EXPECT_EQ(fp8_from(value, format), code + sign);
                }
            }
    }
}

TEST(Fp8, RoundsToNearestEvenAndStopsAtTheLargest) {
    const auto from = [](double x, Fp8Format f) { return fp8_from(static_cast<float>(x), f); };
    for (const Fp8Format format : kFormats) {
        const std::vector<double> values = ascending(format);
        for (size_t i = 0; i + 1 < values.size(); ++i) {
            const double middle = (values[i] + values[i + 1]) / 2;
            const size_t even = i % 2 == 0 ? i : i + 1;
            EXPECT_EQ(from(middle, format), even) << middle;
            EXPECT_EQ(from(-middle, format), even + 128) << middle;
            EXPECT_EQ(from(middle * (1 - 1e-6), format), i) << middle;
            EXPECT_EQ(from(middle * (1 + 1e-6), format), i + 1) << middle;
        }
        const size_t last = values.size() - 1;
        for (const double x : {values[last] + 1, 1e9, 1e38, double{INFINITY}}) {
            EXPECT_EQ(from(x, format), last) << x;
            EXPECT_EQ(from(-x, format), last + 128) << x;
        }
        EXPECT_TRUE(std::isnan(fp8_value(from(NAN, format), format)));
        EXPECT_EQ(from(1e-45, format), 0);
    }
}

// Codes times scale are the numbers to half a unit of their last digit, or of the subnormals'.
TEST(Fp8, QuantizesWithinHalfAStep) {
    CpuBed bed;
    const std::pair<int64_t, int64_t> shapes[] = {{1, 1}, {5, 3}, {33, 70}};
    for (const Fp8Format format : kFormats)
        for (const double size : {1e-30, 3e-7, 1.0, 5e4, 1e30})
            for (const auto& [M, N] : shapes) {
                const Strided x(bed, DType::bf16, M, N, 4, size);
                const Quantized q(cpu_kernels(), *bed.device, x.view, format);
                const double scale = q.scale();
                EXPECT_EQ(std::exp2(std::round(std::log2(scale))), scale);
                const int digits = format == Fp8Format::e4m3 ? 3 : 2;
                const double least = format == Fp8Format::e4m3 ? 0x1p-6 : 0x1p-14;
                for (int64_t m = 0; m < M; ++m)
                    for (int64_t n = 0; n < N; ++n) {
                        const uint8_t code = q.codes()[static_cast<size_t>(m * N + n)];
                        EXPECT_EQ(q.transposed()[static_cast<size_t>(n * M + m)], code);
                        const double wanted = value_at(x.view, m * N + n) / scale;
                        const double unit =
                            std::exp2(std::floor(std::log2(std::max(std::abs(wanted), least))));
                        EXPECT_NEAR(fp8_value(code, format), wanted, std::ldexp(unit, -digits - 1));
                    }
            }
}

TEST(Fp8, TheLargestFitsWhereverItLies) {
    CpuBed bed;
    const int64_t M = 5000, N = 3;
    for (const Fp8Format format : kFormats)
        for (const double others : {0.0, 1e-3, 1.0})
            for (const int64_t row : {0, 1, 4999}) { // the sample has rows 0, 4, 8, ...
                OwnedTensor x(*bed.device, DType::bf16, {M, N});
                fill_normal(x, 3, others);
                set_value(x, row * N + 1, -9e4);
                const Quantized q(cpu_kernels(), *bed.device, x, format);
                const auto got = fp8_value(q.codes()[static_cast<size_t>(row * N + 1)], format);
                EXPECT_NEAR(got * q.scale(), -9e4, 9e4 / (format == Fp8Format::e4m3 ? 16 : 8));
            }
}

TEST(Fp8, ZerosAndWhatIsNotFinite) {
    CpuBed bed;
    OwnedTensor x = bed.zeros(DType::bf16, {4, 5});
    for (const Fp8Format format : kFormats) {
        fill(x, 0);
        EXPECT_EQ(Quantized(cpu_kernels(), *bed.device, x, format).codes(),
                  std::vector<uint8_t>(20, 0));
        for (const double odd : {double{INFINITY}, double{NAN}}) {
            set_value(x, 7, odd);
            EXPECT_TRUE(std::isnan(Quantized(cpu_kernels(), *bed.device, x, format).scale()));
        }
    }
}

TEST(Fp8, ProductsAreThoseOfTheValues) {
    CpuBed bed;
    for (const Fp8Format left : kFormats)
        for (const DType to : {DType::f32, DType::bf16})
            for (const float beta : {0.0f, 1.0f}) {
                const int64_t M = 7, N = 32, K = 48;
                const Strided a(bed, DType::bf16, M, K, 1, 3), b(bed, DType::bf16, N, K, 2, 1e-3);
                const Quantized x(cpu_kernels(), *bed.device, a.view, left);
                const Quantized y(cpu_kernels(), *bed.device, b.view, Fp8Format::e4m3);
                const auto product = [&](const Kernels& kernels, DType dtype) {
                    OwnedTensor c(*bed.device, dtype, {M, N});
                    fill_normal(c, 5, beta == 0 ? double{NAN} : 0.02);
                    kernels.fp8_gemm(bed.stream(), c, x.rows, y.rows, beta, false);
                    return c;
                };
                OwnedTensor exact(*bed.device, DType::f64, {M, N});
                fill_normal(exact, 5, 0.02);
                if (to == DType::bf16) // what is added to
                    exact = converted(*bed.device, converted(*bed.device, exact, to), DType::f64);
                const OwnedTensor p = x.values(), q = y.values();
                cpu_oracle_kernels().gemm(bed.stream(), exact, p, q, false, true, 1, beta);
                const double limit = to == DType::f32 ? 2e-6 : 0x1p-8;
                EXPECT_TRUE(close(product(cpu_oracle_kernels(), to), exact, limit));
                EXPECT_TRUE(close(product(cpu_kernels(), to), exact, limit));
            }
}

TEST(Fp8, RefusesWhatDoesNotFit) {
    CpuBed bed;
    const OwnedTensor x = bed.zeros(DType::bf16, {16, 16}), wide = bed.zeros(DType::bf16, {16, 24});
    const OwnedTensor c = bed.zeros(DType::f32, {16, 16});
    const auto quantized = [&](const Tensor& t, Fp8Format format) {
        return Quantized(cpu_kernels(), *bed.device, t, format);
    };
    const Quantized a = quantized(x, Fp8Format::e4m3), g = quantized(x, Fp8Format::e5m2),
                    w = quantized(wide, Fp8Format::e4m3);
    const Kernels& k = cpu_kernels();
    EXPECT_NO_THROW(k.fp8_gemm(bed.stream(), c, g.rows, a.rows, 0, true));
    EXPECT_THROW(k.fp8_gemm(bed.stream(), c, g.rows, g.rows, 0, true), Error);
    EXPECT_THROW(k.fp8_gemm(bed.stream(), c, w.rows, w.rows, 0, true), Error);
    EXPECT_THROW(k.fp8_gemm(bed.stream(), c, a.rows, w.rows, 0, true), Error);
    EXPECT_THROW(quantized(c, Fp8Format::e4m3), Error);
    EXPECT_THROW(k.fp8_quantize(bed.stream(), a.rows, w.columns.codes, x), Error);
}

} // namespace
} // namespace tnl
