// quant_loops.h's products for processors with AVX-512, 128 codes of a row at a time: two vectors
// of 64 codes of 8 bits, or one of 4, are split by a mask and a shift, and what multiplies them
// adds neighbours. Activations lie in the order that the split leaves (quant_narrow_avx512).
// Included by simd_avx512.cpp and simd_avx512_bf16.cpp.
#pragma once

#include "ops/quant/quant_loops.h"
#include "ops/simd/lanes_avx512.h"

namespace tnl {
namespace {
namespace simd_loops {

constexpr int64_t kCodesAtOnce = 128; // codes

[[gnu::always_inline]] inline __m512i load512(const void* at) { return _mm512_loadu_si512(at); }
[[gnu::always_inline]] inline __m256i load256(const void* at) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}

// Of every 128 bytes of codes the second and the third quarter change places: then a vector's first
// half and second half are what a vector of weights holds in its lower and its upper bits.
template <class S, class Code>
void quant_narrow_avx512(Code* codes, float* scales, float* offsets, const S* x, int64_t K,
                         int64_t group) {
    quant_narrow<S, Code>(codes, scales, offsets, x, K, group);
    constexpr int64_t kUnit = 128 / sizeof(Code);
    const int64_t padded = (K + group - 1) / group * group;
    for (int64_t k = 0; k + kUnit <= padded; k += kUnit) {
        auto* const at = reinterpret_cast<char*>(codes + k);
        const __m256i second = load256(at + 32), third = load256(at + 64);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(at + 32), third);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(at + 64), second);
    }
}

// Products of whole numbers, neighbours added, in sums of 32 bits.
struct MultiplyAdd {
    // sum + pairs of 16 bits
    static __m512i pairs(__m512i sum, __m512i w, __m512i x) {
        return _mm512_add_epi32(sum, _mm512_madd_epi16(w, x));
    }
    // Fours of bytes, w at most 15: four products of that size stay below 2^15.
    static __m512i fours(__m512i w, __m512i x, __m512i v, __m512i y) {
        const __m512i words =
            _mm512_add_epi16(_mm512_maddubs_epi16(w, x), _mm512_maddubs_epi16(v, y));
        return _mm512_madd_epi16(words, _mm512_set1_epi16(1));
    }
};

// Sums of one step's products: of kR rows of weights, row_step bytes apart, and kM of activations.
template <class Dots, int kR, int kM>
[[gnu::always_inline]] inline void step_avx512(Int8, __m512i (&sums)[kR][kM], const uint8_t* codes,
                                               int64_t row_step, const int16_t* x, int64_t ld,
                                               bool) {
    const __m512i low = _mm512_set1_epi16(255);
#pragma GCC unroll 2
    for (int i = 0; i < kCodesAtOnce; i += 64)
#pragma GCC unroll 8
        for (int r = 0; r < kR; ++r) {
            const __m512i both = load512(codes + r * row_step + i);
            const __m512i first = _mm512_and_si512(both, low), second = _mm512_srli_epi16(both, 8);
#pragma GCC unroll 8
            for (int m = 0; m < kM; ++m) {
                const __m512i sum = i == 0 ? _mm512_setzero_si512() : sums[r][m];
                sums[r][m] = Dots::pairs(Dots::pairs(sum, first, load512(x + m * ld + i)), second,
                                         load512(x + m * ld + i + 32));
            }
        }
}

// A row may end with half a step, in plain order.
template <class Dots, int kR, int kM>
[[gnu::always_inline]] inline void step_avx512(Int4, __m512i (&sums)[kR][kM], const uint8_t* codes,
                                               int64_t row_step, const int8_t* x, int64_t ld,
                                               bool whole) {
    const __m512i low = _mm512_set1_epi8(15);
    const auto load_codes = [&](const void* at) {
        return whole ? load512(at) : _mm512_zextsi256_si512(load256(at));
    };
    const int64_t half = whole ? 64 : 32;
#pragma GCC unroll 8
    for (int r = 0; r < kR; ++r) {
        const __m512i both = load_codes(codes + r * row_step);
        const __m512i first = _mm512_and_si512(both, low);
        const __m512i second = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
#pragma GCC unroll 8
        for (int m = 0; m < kM; ++m)
            sums[r][m] =
                Dots::fours(first, load_codes(x + m * ld), second, load_codes(x + m * ld + half));
    }
}

// Scales of a step's groups, one for each of the 16 lanes of its sums.
[[gnu::always_inline]] inline __m512 step_scales(Int8, const float* scales, int64_t step) {
    return _mm512_set1_ps(scales[step]);
}
[[gnu::always_inline]] inline __m512 step_scales(Int4, const float* scales, int64_t step) {
    const __m512i halves = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const auto first = static_cast<int>(2 * step);
    return _mm512_permutexvar_ps(_mm512_add_epi32(halves, _mm512_set1_epi32(first)),
                                 _mm512_load_ps(scales));
}

// One block of kR rows of weights times kM rows: added to out[m * ld_out + r * out_step].
template <class Format, class Dots, int kR, int kM>
[[gnu::always_inline]] inline void block_avx512(float* out, int64_t ld_out, int64_t out_step,
                                                const QuantRows<typename Format::Code>& a,
                                                int64_t first, const uint8_t* block,
                                                int64_t row_step, int64_t n) {
    const int64_t groups = n / Format::kGroup, code_bytes = n * Format::kBits / 8;
    const auto mask = static_cast<__mmask16>((1 << groups) - 1);
    alignas(64) float scales[kR][kM][16]; // of weights times activations
    __m512 total[kR][kM];
#pragma GCC unroll 8
    for (int r = 0; r < kR; ++r) {
        const __m256i half = _mm256_maskz_loadu_epi16(mask, block + r * row_step + code_bytes);
        const __m512 w = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
#pragma GCC unroll 8
        for (int m = 0; m < kM; ++m) {
            const int64_t place = m * a.groups + first / Format::kGroup;
            const __m512 scale = _mm512_mul_ps(w, _mm512_maskz_loadu_ps(mask, a.scales + place));
            _mm512_store_ps(scales[r][m], scale);
            total[r][m] = _mm512_mul_ps(scale, _mm512_maskz_loadu_ps(mask, a.offsets + place));
        }
    }
    const auto step = [&](int64_t k, bool whole) __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (int r = 0; r < kR; ++r)
            simd_loops::ask_ahead<kCodesAtOnce * Format::kBits / 8>(block + r * row_step +
                                                                    k * Format::kBits / 8);
        __m512i sums[kR][kM];
        step_avx512<Dots, kR, kM>(Format{}, sums, block + k * Format::kBits / 8, row_step,
                                  a.codes + first + k, a.ld, whole);
#pragma GCC unroll 8
        for (int r = 0; r < kR; ++r)
#pragma GCC unroll 8
            for (int m = 0; m < kM; ++m)
                total[r][m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r][m]),
                                              step_scales(Format{}, scales[r][m], k / kCodesAtOnce),
                                              total[r][m]);
    };
    int64_t k = 0;
    for (; k + kCodesAtOnce <= n; k += kCodesAtOnce) step(k, true);
    if (k < n) step(k, false);
#pragma GCC unroll 8
    for (int m = 0; m < kM; ++m) {
        __m512 lanes[kR];
#pragma GCC unroll 4
        for (int r = 0; r < kR; ++r) lanes[r] = total[r][m];
        alignas(16) float row_sums[4];
        _mm_store_ps(row_sums, sum_lanes_of_rows<kR>(lanes));
#pragma GCC unroll 4
        for (int r = 0; r < kR; ++r) out[m * ld_out + r * out_step] += row_sums[r];
    }
}

template <class Format, class Dots, int kM>
void rows_avx512(float* out, int64_t ld_out, const QuantRows<typename Format::Code>& a,
                 const uint8_t* b, int64_t row_bytes, int64_t R) {
    constexpr int kR = kM == 1 ? 4 : kM <= 4 ? 2 : 1; // rows at once
    for_blocks<Format, kR, kM>(out, ld_out, a, b, row_bytes, R,
                               [&](auto rows, float* to, int64_t out_step, int64_t first,
                                   const uint8_t* block, int64_t row_step, int64_t n) {
                                   block_avx512<Format, Dots, rows.value, kM>(
                                       to, ld_out, out_step, a, first, block, row_step, n);
                               });
}

template <class Format, class Dots>
void dot_quant_avx512(float* out, int64_t ld_out, const QuantRows<typename Format::Code>& a,
                      int64_t M, const uint8_t* b, int64_t row_bytes, int64_t R) {
    using Rows = void (*)(float*, int64_t, const QuantRows<typename Format::Code>&, const uint8_t*,
                          int64_t, int64_t);
    constexpr Rows kRows[] = {rows_avx512<Format, Dots, 1>, rows_avx512<Format, Dots, 2>,
                              rows_avx512<Format, Dots, 3>, rows_avx512<Format, Dots, 4>,
                              rows_avx512<Format, Dots, 5>, rows_avx512<Format, Dots, 6>,
                              rows_avx512<Format, Dots, 7>, rows_avx512<Format, Dots, 8>};
    kRows[M - 1](out, ld_out, a, b, row_bytes, R);
}

} // namespace simd_loops

template <class Dots> constexpr SimdKernels with_avx512_quant(SimdKernels kernels) {
    kernels.f32.quant_narrow16 = simd_loops::quant_narrow_avx512<float, int16_t>;
    kernels.f32.quant_narrow8 = simd_loops::quant_narrow_avx512<float, int8_t>;
    kernels.bf16_.quant_narrow16 = simd_loops::quant_narrow_avx512<bf16, int16_t>;
    kernels.bf16_.quant_narrow8 = simd_loops::quant_narrow_avx512<bf16, int8_t>;
    kernels.dot_int8 = simd_loops::dot_quant_avx512<simd_loops::Int8, Dots>;
    kernels.dot_int4 = simd_loops::dot_quant_avx512<simd_loops::Int4, Dots>;
    return kernels;
}

} // namespace
} // namespace tnl
