// quant_loops.h's products for processors with AVX2: VPMADDWD multiplies 16 codes of 8 bits by
// activations of 16, VPMADDUBSW 32 codes of 4 bits by activations of 8, and both add neighbours.
// Included by simd_avx2.cpp and those above it.
#pragma once

#include "ops/quant/quant_loops.h"

#include <immintrin.h>

namespace tnl {
namespace {
namespace simd_loops {

[[gnu::always_inline]] inline __m256i load_words(const void* at) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}

// Sums of products of one group: of rows r of weights, row_step bytes apart, and rows m of
// activations.
template <int kR, int kM>
[[gnu::always_inline]] inline void group_avx2(Int8, __m256i (&sums)[kR][kM], const uint8_t* codes,
                                              int64_t row_step, const int16_t* x, int64_t ld) {
    const __m256i low = _mm256_set1_epi16(255);
#pragma GCC unroll 4
    for (int i = 0; i < Int8::kGroup; i += 32)
#pragma GCC unroll 8
        for (int r = 0; r < kR; ++r) {
            const __m256i both = load_words(codes + r * row_step + i);
            const __m256i first = _mm256_and_si256(both, low);
            const __m256i second = _mm256_srli_epi16(both, 8);
#pragma GCC unroll 8
            for (int m = 0; m < kM; ++m) {
                const __m256i sum =
                    _mm256_add_epi32(_mm256_madd_epi16(first, load_words(x + m * ld + i)),
                                     _mm256_madd_epi16(second, load_words(x + m * ld + i + 16)));
                sums[r][m] = i == 0 ? sum : _mm256_add_epi32(sums[r][m], sum);
            }
        }
}

// Two products of codes up to 15, each of two terms, stay below 2^15.
template <int kR, int kM>
[[gnu::always_inline]] inline void group_avx2(Int4, __m256i (&sums)[kR][kM], const uint8_t* codes,
                                              int64_t row_step, const int8_t* x, int64_t ld) {
    const __m256i half = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
    for (int r = 0; r < kR; ++r) {
        const __m256i both = load_words(codes + r * row_step);
        const __m256i first = _mm256_and_si256(both, half);
        const __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), half);
#pragma GCC unroll 8
        for (int m = 0; m < kM; ++m) {
            const __m256i pairs =
                _mm256_add_epi16(_mm256_maddubs_epi16(first, load_words(x + m * ld)),
                                 _mm256_maddubs_epi16(second, load_words(x + m * ld + 32)));
            sums[r][m] = _mm256_madd_epi16(pairs, ones);
        }
    }
}

[[gnu::always_inline]] inline float sum_lanes(__m256 x) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// One block of kR rows of weights times kM rows: added to out[m * ld_out + r * out_step].
template <class Format, int kR, int kM>
[[gnu::always_inline]] inline void
block_avx2(float* out, int64_t ld_out, int64_t out_step, const QuantRows<typename Format::Code>& a,
           int64_t first, const uint8_t* block, int64_t row_step, int64_t n) {
    constexpr int64_t kGroup = Format::kGroup;
    const int64_t groups = n / kGroup, code_bytes = n * Format::kBits / 8;
    alignas(32) float scales[kR][kM][kBlockCodes / kGroup]; // of weights times activations
    __m256 total[kR][kM];
#pragma GCC unroll 8
    for (int r = 0; r < kR; ++r)
#pragma GCC unroll 8
        for (int m = 0; m < kM; ++m) total[r][m] = _mm256_setzero_ps();
    for (int64_t g = 0; g < groups; g += 8) // a block's scales end with zeros, up to 8
#pragma GCC unroll 8
        for (int r = 0; r < kR; ++r) {
            const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(
                reinterpret_cast<const __m128i*>(block + r * row_step + code_bytes + 2 * g)));
            const __m256 w = _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
#pragma GCC unroll 8
            for (int m = 0; m < kM; ++m) {
                const int64_t place = m * a.groups + first / kGroup + g;
                const __m256 scale = _mm256_mul_ps(w, _mm256_loadu_ps(a.scales + place));
                _mm256_store_ps(scales[r][m] + g, scale);
                total[r][m] =
                    _mm256_fmadd_ps(scale, _mm256_loadu_ps(a.offsets + place), total[r][m]);
            }
        }
    for (int64_t g = 0; g < groups; ++g) {
        const uint8_t* const codes = block + g * kGroup * Format::kBits / 8;
#pragma GCC unroll 4
        for (int r = 0; r < kR; ++r)
            simd_loops::ask_ahead<kGroup * Format::kBits / 8>(codes + r * row_step);
        __m256i sums[kR][kM];
        group_avx2<kR, kM>(Format{}, sums, codes, row_step, a.codes + first + g * kGroup, a.ld);
#pragma GCC unroll 8
        for (int r = 0; r < kR; ++r)
#pragma GCC unroll 8
            for (int m = 0; m < kM; ++m)
                total[r][m] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[r][m]),
                                              _mm256_broadcast_ss(scales[r][m] + g), total[r][m]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kR; ++r)
#pragma GCC unroll 8
        for (int m = 0; m < kM; ++m) out[m * ld_out + r * out_step] += sum_lanes(total[r][m]);
}

template <class Format, int kM>
void rows_avx2(float* out, int64_t ld_out, const QuantRows<typename Format::Code>& a,
               const uint8_t* b, int64_t row_bytes, int64_t R) {
    constexpr int kR = kM == 1 ? 4 : kM <= 4 ? 2 : 1; // rows at once: chains of sums side by side
    for_blocks<Format, kR, kM>(out, ld_out, a, b, row_bytes, R,
                               [&](auto rows, float* to, int64_t out_step, int64_t first,
                                   const uint8_t* block, int64_t row_step, int64_t n) {
                                   block_avx2<Format, rows.value, kM>(to, ld_out, out_step, a,
                                                                      first, block, row_step, n);
                               });
}

template <class Format>
void dot_quant_avx2(float* out, int64_t ld_out, const QuantRows<typename Format::Code>& a,
                    int64_t M, const uint8_t* b, int64_t row_bytes, int64_t R) {
    using Rows = void (*)(float*, int64_t, const QuantRows<typename Format::Code>&, const uint8_t*,
                          int64_t, int64_t);
    constexpr Rows kRows[] = {rows_avx2<Format, 1>, rows_avx2<Format, 2>, rows_avx2<Format, 3>,
                              rows_avx2<Format, 4>, rows_avx2<Format, 5>, rows_avx2<Format, 6>,
                              rows_avx2<Format, 7>, rows_avx2<Format, 8>};
    kRows[M - 1](out, ld_out, a, b, row_bytes, R);
}

} // namespace simd_loops

constexpr SimdKernels with_avx2_quant(SimdKernels kernels) {
    kernels.dot_int8 = simd_loops::dot_quant_avx2<simd_loops::Int8>;
    kernels.dot_int4 = simd_loops::dot_quant_avx2<simd_loops::Int4>;
    return kernels;
}

} // namespace
} // namespace tnl
