#include "ops/gemm/gemm.h"

#include "base/cpu.h"
#include "ops/gemm/gemv.h"
#include "ops/testbed.h"

namespace tnl {
namespace {

using namespace testing;

struct Sizes {
    int64_t M, N, K;
};

// op(a) [rows, cols] as stored, in a wider matrix.
Strided operand(CpuBed& bed, DType dtype, int64_t rows, int64_t cols, bool transpose,
                uint64_t seed) {
    return transpose ? Strided(bed, dtype, cols, rows, seed)
                     : Strided(bed, dtype, rows, cols, seed);
}

// One product into a strided c; beta adds to numbers that are there, else c holds NaN before.
OwnedTensor product(const Kernels& k, CpuBed& bed, DType dtype, DType c_dtype, const Sizes& s,
                    bool ta, bool tb, float beta) {
    const Strided a = operand(bed, dtype, s.M, s.K, ta, 1),
                  b = operand(bed, dtype, s.K, s.N, tb, 2);
    const Strided c(bed, c_dtype, s.M, s.N, 3);
    if (beta == 0) fill(c.view, std::numeric_limits<double>::quiet_NaN());
    k.gemm(bed.stream(), c.view, a.view, b.view, ta, tb, 0.5f, beta);
    for (int64_t m = 0; m < s.M; ++m) // what lies around c is not touched
        EXPECT_FALSE(std::isnan(value_at(c.whole, m * (s.N + 5) + s.N + 3)));
    return converted(*bed.device, c.view, c_dtype);
}

void compare_all(const Sizes& s) {
    CpuBed two(2);
    for (const bool ta : {false, true})
        for (const bool tb : {false, true})
            for (const float beta : {0.0f, 1.0f}) {
                SCOPED_TRACE(
                    fmt::format("M {} N {} K {} ta {} tb {} beta {}", s.M, s.N, s.K, ta, tb, beta));
                const OwnedTensor exact =
                    product(cpu_oracle_kernels(), two, DType::f64, DType::f64, s, ta, tb, beta);
                const auto fast = [&](DType dtype, DType c) {
                    return product(cpu_kernels(), two, dtype, c, s, ta, tb, beta);
                };
                EXPECT_TRUE(close(fast(DType::f64, DType::f64), exact, 1e-14));
                EXPECT_TRUE(close(fast(DType::f32, DType::f32), exact, 1e-6));
                EXPECT_TRUE(close(fast(DType::bf16, DType::f32), exact, 1e-6));
                EXPECT_TRUE(identical(fast(DType::f32, DType::f32), fast(DType::f32, DType::f32)));
                const OwnedTensor plain =
                    product(cpu_oracle_kernels(), two, DType::bf16, DType::bf16, s, ta, tb, beta);
                EXPECT_TRUE(within_twice(fast(DType::bf16, DType::bf16), plain, exact));
            }
}

TEST(Gemm, MatchesTheOracle) {
    for (const Sizes& s :
         {Sizes{1, 1, 1}, Sizes{1, 70, 33}, Sizes{3, 129, 65}, Sizes{8, 40, 200}, Sizes{9, 17, 31},
          Sizes{65, 1, 7}, Sizes{64, 64, 64}, Sizes{130, 97, 71}})
        compare_all(s);
}

// More than one panel of the way through f32, in every dimension.
TEST(Gemm, LargeBf16) {
    CpuBed bed;
    const Sizes s{530, 1030, 520};
    const OwnedTensor a = exact_normal(bed, DType::bf16, {s.M, s.K}, 1);
    const OwnedTensor b = exact_normal(bed, DType::bf16, {s.K, s.N}, 2);
    const OwnedTensor c = bed.normal(DType::f32, {s.M, s.N}, 3),
                      d = converted(*bed.device, c, DType::bf16);
    const OwnedTensor start = converted(*bed.device, c, DType::f32);
    const OwnedTensor start_half = converted(*bed.device, d, DType::bf16);
    cpu_kernels().gemm(bed.stream(), c, a, b, false, false, 2, 1);
    cpu_kernels().gemm(bed.stream(), d, a, b, false, false, 2, 1);
    for (int64_t i = 0; i < 400; ++i) {
        const int64_t m = i * 7919 % s.M, n = i * 104729 % s.N, at = m * s.N + n;
        double sum = 0;
        for (int64_t k = 0; k < s.K; ++k)
            sum += value_at(a, m * s.K + k) * value_at(b, k * s.N + n);
        ASSERT_NEAR(value_at(c, at), value_at(start, at) + 2 * sum, 1e-4);
        const double half = value_at(start_half, at) + 2 * sum;
        ASSERT_NEAR(value_at(d, at), half, std::abs(half) / 256 + 1e-4);
    }
}

TEST(Gemm, ThreadCountsAgree) {
    for (DType dtype : {DType::f32, DType::bf16})
        for (const Sizes& s : {Sizes{300, 200, 150}, Sizes{2, 1000, 300}}) {
            CpuBed one(1), three(3);
            const OwnedTensor a = product(cpu_kernels(), one, dtype, DType::f32, s, false, true, 1);
            const OwnedTensor b =
                product(cpu_kernels(), three, dtype, DType::f32, s, false, true, 1);
            EXPECT_TRUE(close(a, b, 1e-6));
        }
}

TEST(Gemm, EmptyInnerDimensionScalesC) {
    CpuBed bed;
    const OwnedTensor a(*bed.device, DType::f32, {3, 0}), b(*bed.device, DType::f32, {0, 4});
    OwnedTensor c = bed.normal(DType::f32, {3, 4}, 1);
    const OwnedTensor before = converted(*bed.device, c, DType::f32);
    cpu_kernels().gemm(bed.stream(), c, a, b, false, false, 1, 1);
    EXPECT_TRUE(identical(c, before));
    cpu_kernels().gemm(bed.stream(), c, a, b, false, false, 1, 0);
    EXPECT_TRUE(identical(c, bed.zeros(DType::f32, {3, 4})));
}

TEST(Gemm, GridUsesTheThreadsAndCutsTheLongerSide) {
    const auto grid = [](int64_t M, int64_t N, int64_t K, int threads) {
        const GemmGrid g = plan_gemm_grid(M, N, K, threads);
        return std::pair(g.rows, g.columns);
    };
    EXPECT_EQ(grid(4096, 512, 512, 2), std::pair(2, 1));
    EXPECT_EQ(grid(512, 4096, 512, 2), std::pair(1, 2));
    EXPECT_EQ(grid(512, 512, 512, 4), std::pair(2, 2));
    EXPECT_EQ(grid(4, 4, 4, 8), std::pair(1, 1));
    EXPECT_EQ(grid(1, 4096, 4096, 8), std::pair(1, 8));
}

TEST(Gemm, MisfitsAreNamed) {
    CpuBed bed;
    const OwnedTensor a = bed.zeros(DType::f32, {3, 4}), b = bed.zeros(DType::f32, {5, 6});
    const OwnedTensor c = bed.zeros(DType::f32, {3, 6}), half = bed.zeros(DType::bf16, {4, 6});
    const Kernels& k = cpu_kernels();
    EXPECT_THROW(k.gemm(bed.stream(), c, a, b, false, false, 1, 0), Error);
    EXPECT_THROW(k.gemm(bed.stream(), c, a, half, false, false, 1, 0), Error);
}

// The libraries' bf16 path, which this processor may not be the one to choose.
TEST(Gemm, OneDnnBf16) {
    if (!cpu_features().avx512) GTEST_SKIP() << "oneDNN multiplies bf16 from AVX-512 on";
    CpuBed bed;
    for (const bool ta : {false, true})
        for (const bool tb : {false, true})
            for (const float beta : {0.0f, 1.0f}) {
                const Sizes s{65, 34, 51};
                const Strided a = operand(bed, DType::bf16, s.M, s.K, ta, 1);
                const Strided b = operand(bed, DType::bf16, s.K, s.N, tb, 2);
                const OwnedTensor c = bed.normal(DType::f32, {s.M, s.N}, 3);
                const OwnedTensor d = converted(*bed.device, c, DType::f32);
                cpu_oracle_kernels().gemm(bed.stream(), d, a.view, b.view, ta, tb, 1, beta);
                dnnl_gemm(GemmBlock<bf16, float>{
                    s.M, s.N, s.K, a.view.as<bf16>(), b.view.as<bf16>(), c.as<float>(),
                    a.view.row_stride(), b.view.row_stride(), s.N, ta, tb, 1, beta});
                EXPECT_TRUE(close(c, d, 1e-6));
            }
}

} // namespace
} // namespace tnl
