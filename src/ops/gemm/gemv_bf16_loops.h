// Dot products of a few bf16 rows with many rows read once from memory, for processors that
// multiply bf16 (VDPBF16PS): products are exact, sums in f32. Included by simd_avx512_bf16.cpp
// alone.
#pragma once

#include "ops/simd/scalar.h"

#include <immintrin.h>

namespace tnl {
namespace {
namespace simd_loops {

// The first n of 32 numbers, zeros after them.
[[gnu::always_inline]] inline __m512bh load_pairs(const bf16* x, int64_t n) {
    const __mmask32 mask = n >= 32 ? ~__mmask32{0} : (__mmask32{1} << n) - 1;
    return __builtin_bit_cast(__m512bh, _mm512_maskz_loadu_epi16(mask, x));
}

// out[m] = a_m . b; kM rows of a, several sums each, to cover the latency of the additions. b is
// one stream per thread, which the processor foresees: asking for it ahead only costs.
template <int kM>
[[gnu::always_inline]] inline void dot_bf16_row(float* out, int64_t ld_out, const bf16* a,
                                                int64_t lda, const bf16* b, int64_t K) {
    constexpr int kUnroll = kM >= 3 ? 2 : 4;
    __m512 sums[kM][kUnroll] = {};
    int64_t k = 0;
    for (; k + 32 * kUnroll <= K; k += 32 * kUnroll)
#pragma GCC unroll 4
        for (int u = 0; u < kUnroll; ++u) {
            const __m512bh weights = load_pairs(b + k + 32 * u, 32);
#pragma GCC unroll 8
            for (int m = 0; m < kM; ++m)
                sums[m][u] =
                    _mm512_dpbf16_ps(sums[m][u], load_pairs(a + m * lda + k + 32 * u, 32), weights);
        }
    for (; k < K; k += 32) {
        const __m512bh weights = load_pairs(b + k, K - k);
#pragma GCC unroll 8
        for (int m = 0; m < kM; ++m)
            sums[m][0] = _mm512_dpbf16_ps(sums[m][0], load_pairs(a + m * lda + k, K - k), weights);
    }
#pragma GCC unroll 8
    for (int m = 0; m < kM; ++m) {
#pragma GCC unroll 4
        for (int u = 1; u < kUnroll; ++u) sums[m][0] = _mm512_add_ps(sums[m][0], sums[m][u]);
        out[m * ld_out] = _mm512_reduce_add_ps(sums[m][0]);
    }
}

template <int kM>
void dot_bf16_rows(float* out, int64_t ld_out, const bf16* a, int64_t lda, const bf16* b,
                   int64_t ldb, int64_t R, int64_t K) {
    for (int64_t r = 0; r < R; ++r) dot_bf16_row<kM>(out + r, ld_out, a, lda, b + r * ldb, K);
}

inline void dot_bf16(float* out, int64_t ld_out, const bf16* a, int64_t lda, int64_t M,
                     const bf16* b, int64_t ldb, int64_t R, int64_t K) {
    using Rows =
        void (*)(float*, int64_t, const bf16*, int64_t, const bf16*, int64_t, int64_t, int64_t);
    constexpr Rows kRows[] = {dot_bf16_rows<1>, dot_bf16_rows<2>, dot_bf16_rows<3>,
                              dot_bf16_rows<4>, dot_bf16_rows<5>, dot_bf16_rows<6>,
                              dot_bf16_rows<7>, dot_bf16_rows<8>};
    kRows[M - 1](out, ld_out, a, lda, b, ldb, R, K);
}

} // namespace simd_loops
} // namespace
} // namespace tnl
