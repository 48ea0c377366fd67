// Products of a few rows with rows of weights: every instruction set that this processor runs.
#include "base/cpu.h"
#include "ops/quant/quant.h"
#include "ops/simd/simd.h"
#include "ops/testbed.h"

namespace tnl::testing {
namespace {

constexpr int64_t kMostM = 8;
constexpr int64_t kLd = 40; // of the products

std::vector<const SimdKernels*> tables() {
    const CpuFeatures& cpu = cpu_features();
    std::vector<const SimdKernels*> out{&simd_baseline()};
    if (cpu.avx2) out.push_back(&simd_avx2());
    if (cpu.avx512) out.push_back(&simd_avx512());
    if (cpu.avx512_bf16) out.push_back(&simd_avx512_bf16());
    return out;
}

// dots(out [M, kLd], first row of a, M, first row of b, R): against a [kMostM, K] times b [N, K] in
// f64, and whether a number depends on the rows beside it.
template <class F>
void expect_products(CpuBed& bed, const Tensor& a, const Tensor& b, double tolerance, F&& dots) {
    const int64_t N = b.shape[0];
    OwnedTensor exact(*bed.device, DType::f64, {kMostM, N});
    cpu_oracle_kernels().gemm(bed.stream(), exact, a, b, false, true, 1, 0);
    OwnedTensor all(*bed.device, DType::f32, {kMostM, kLd});
    dots(all.as<float>(), 0, kMostM, 0, N);
    EXPECT_TRUE(close(all.slice(1, 0, N), exact, tolerance));
    for (int64_t M = 1; M <= kMostM; ++M)
        for (const int64_t R : {int64_t{1}, int64_t{6}, N - 1}) {
            OwnedTensor some(*bed.device, DType::f32, {kMostM, kLd});
            dots(some.as<float>(), kMostM - M, M, N - R, R);
            for (int64_t m = 0; m < M; ++m)
                for (int64_t r = 0; r < R; ++r)
                    ASSERT_EQ(some.as<float>()[m * kLd + r],
                              all.as<float>()[(kMostM - M + m) * kLd + N - R + r])
                        << M << " rows with " << R << ", at " << m << ", " << r;
        }
}

// Whole numbers, the largest that codes reach among every 64: these codes are the numbers.
OwnedTensor whole_numbers(CpuBed& bed, int64_t K, int64_t most) {
    const OwnedTensor whole = bed.integers({kMostM, K}, 5, -most, most + 1);
    OwnedTensor out(*bed.device, DType::f32, {kMostM, K});
    for (int64_t i = 0; i < out.size(); ++i)
        out.as<float>()[i] =
            static_cast<float>(i % K % 64 == 0 ? most : int64_t{whole.as<int32_t>()[i]});
    return out;
}

template <class Code>
void expect_quantized_products(const SimdKernels& table, QuantFormat format, int64_t K) {
    SCOPED_TRACE(fmt::format("{} {} K {}", table.name, name_of(format), K));
    constexpr bool kFine = sizeof(Code) == 2;
    CpuBed bed;
    constexpr int64_t N = 37;
    const OwnedTensor w = bed.normal(DType::f32, {N, K}, 4, 0.05);
    const OwnedTensor a = whole_numbers(bed, K, kFine ? 32767 : 127);
    const int64_t row_bytes = quant_row_bytes(format, K), group = quant_group(format);
    const int64_t ld = quant_padded(format, K), groups = ld / group;
    std::vector<uint8_t> bytes(static_cast<size_t>(N * row_bytes));
    OwnedTensor values(*bed.device, DType::f64, {N, K});
    for (int64_t n = 0; n < N; ++n) {
        quantize_row(format, bytes.data() + n * row_bytes, w.as<float>() + n * K, K);
        dequantize_row(format, values.as<double>() + n * K, bytes.data() + n * row_bytes, K);
    }
    std::vector<Code> codes(static_cast<size_t>(kMostM * ld));
    std::vector<float> scales(static_cast<size_t>(kMostM * groups + 8)), offsets(scales.size());
    for (int64_t m = 0; m < kMostM; ++m) {
        float *const s = scales.data() + m * groups, *const o = offsets.data() + m * groups;
        if constexpr (kFine)
            table.f32.quant_narrow16(codes.data() + m * ld, s, o, a.as<float>() + m * K, K, group);
        else
            table.f32.quant_narrow8(codes.data() + m * ld, s, o, a.as<float>() + m * K, K, group);
    }
    expect_products(bed, converted(*bed.device, a, DType::f64), values, 1e-6,
                    [&](float* out, int64_t m, int64_t M, int64_t n, int64_t R) {
                        const QuantRows<Code> rows{codes.data() + m * ld,
                                                   scales.data() + m * groups,
                                                   offsets.data() + m * groups, ld, groups};
                        const uint8_t* const b = bytes.data() + n * row_bytes;
                        if constexpr (kFine)
                            table.dot_int8(out, kLd, rows, M, b, row_bytes, R);
                        else
                            table.dot_int4(out, kLd, rows, M, b, row_bytes, R);
                    });
}

constexpr int64_t kWidths[] = {3, 64, 130, 1024, 1100, 2816};

TEST(RowProducts, OfCodes) {
    for (const SimdKernels* table : tables())
        for (const int64_t K : kWidths) {
            expect_quantized_products<int16_t>(*table, QuantFormat::int8, K);
            expect_quantized_products<int8_t>(*table, QuantFormat::int4, K);
        }
}

template <class S> void expect_float_products(const SimdKernels& table, int64_t K) {
    CpuBed bed;
    constexpr int64_t N = 37;
    const OwnedTensor wide_a = exact_normal(bed, DType::f64, {kMostM, K}, 5);
    const OwnedTensor wide_b = exact_normal(bed, DType::f64, {N, K}, 6);
    const OwnedTensor a = converted(*bed.device, wide_a, DType::f32);
    const OwnedTensor b = converted(*bed.device, wide_b, dtype_of<S>());
    const OwnedTensor half = converted(*bed.device, wide_a, DType::bf16);
    SCOPED_TRACE(fmt::format("{} {} K {}", table.name, name_of(b.dtype), K));
    const RowLoops<S>* loops = nullptr;
    if constexpr (std::is_same_v<S, float>)
        loops = &table.f32;
    else
        loops = &table.bf16_;
    expect_products(
        bed, wide_a, wide_b, 1e-6, [&](float* out, int64_t m, int64_t M, int64_t n, int64_t R) {
            loops->dot_rows(out, kLd, a.as<float>() + m * K, K, M, b.as<S>() + n * K, K, R, K);
        });
    if constexpr (std::is_same_v<S, bf16>)
        if (table.dot_bf16)
            expect_products(bed, wide_a, wide_b, 1e-6,
                            [&](float* out, int64_t m, int64_t M, int64_t n, int64_t R) {
                                table.dot_bf16(out, kLd, half.as<bf16>() + m * K, K, M,
                                               b.as<bf16>() + n * K, K, R, K);
                            });
}

TEST(RowProducts, OfFloats) {
    for (const SimdKernels* table : tables())
        for (const int64_t K : kWidths) {
            expect_float_products<float>(*table, K);
            expect_float_products<bf16>(*table, K);
        }
}

} // namespace
} // namespace tnl::testing
