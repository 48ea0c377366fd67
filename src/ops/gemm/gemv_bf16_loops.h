// Dot products of a few bf16 rows with many rows read once from memory, for processors that
// multiply bf16 (VDPBF16PS): products are exact, sums in f32, in an order that depends neither on
// how many rows there are nor on which. Included by simd_avx512_bf16.cpp alone.
#pragma once

#include "ops/simd/lanes_avx512.h"

namespace tnl {
namespace {
namespace simd_loops {

[[gnu::always_inline]] inline __m512bh load_pairs(const bf16* x) {
    return __builtin_bit_cast(__m512bh, _mm512_loadu_si512(x));
}
// The first n of 32 numbers, zeros after them.
[[gnu::always_inline]] inline __m512bh load_pairs(const bf16* x, int64_t n) {
    const __mmask32 mask = n >= 32 ? ~__mmask32{0} : (__mmask32{1} << n) - 1;
    return __builtin_bit_cast(__m512bh, _mm512_maskz_loadu_epi16(mask, x));
}

// out[m * ld_out + r * out_step] = a_m . b_r; kM rows of a, kR of b, two sums each.
template <int kM, int kR>
[[gnu::always_inline]] inline void dot_bf16_tile(float* out, int64_t ld_out, int64_t out_step,
                                                 const bf16* a, int64_t lda, const bf16* b,
                                                 int64_t ldb, int64_t K) {
    constexpr int kSums = 2;
    __m512 sums[kM][kR][kSums] = {};
    int64_t k = 0;
    for (; k + 32 * kSums <= K; k += 32 * kSums)
#pragma GCC unroll 2
        for (int u = 0; u < kSums; ++u)
#pragma GCC unroll 4
            for (int r = 0; r < kR; ++r) {
                const bf16* const at = b + r * ldb + k + 32 * u;
                simd_loops::ask_ahead<64>(at);
                const __m512bh weights = load_pairs(at);
#pragma GCC unroll 8
                for (int m = 0; m < kM; ++m)
                    sums[m][r][u] = _mm512_dpbf16_ps(sums[m][r][u],
                                                     load_pairs(a + m * lda + k + 32 * u), weights);
            }
    for (; k < K; k += 32)
#pragma GCC unroll 4
        for (int r = 0; r < kR; ++r) {
            const __m512bh weights = load_pairs(b + r * ldb + k, K - k);
#pragma GCC unroll 8
            for (int m = 0; m < kM; ++m)
                sums[m][r][0] =
                    _mm512_dpbf16_ps(sums[m][r][0], load_pairs(a + m * lda + k, K - k), weights);
        }
#pragma GCC unroll 8
    for (int m = 0; m < kM; ++m) {
        __m512 lanes[kR];
#pragma GCC unroll 4
        for (int r = 0; r < kR; ++r) lanes[r] = _mm512_add_ps(sums[m][r][0], sums[m][r][1]);
        alignas(16) float row_sums[4];
        _mm_store_ps(row_sums, simd_loops::sum_lanes_of_rows<kR>(lanes));
#pragma GCC unroll 4
        for (int r = 0; r < kR; ++r) out[m * ld_out + r * out_step] = row_sums[r];
    }
}

template <int kM>
void dot_bf16_rows(float* out, int64_t ld_out, const bf16* a, int64_t lda, const bf16* b,
                   int64_t ldb, int64_t R, int64_t K) {
    constexpr int kR = kM == 1 ? 4 : kM <= 4 ? 2 : 1;
    const int64_t apart = R / kR; // as ask_ahead wants it
    for (int64_t r = 0; r < apart; ++r)
        dot_bf16_tile<kM, kR>(out + r, ld_out, apart, a, lda, b + r * ldb, apart * ldb, K);
    for (int64_t r = apart * kR; r < R; ++r)
        dot_bf16_tile<kM, 1>(out + r, ld_out, 0, a, lda, b + r * ldb, 0, K);
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
