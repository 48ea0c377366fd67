// Products of bf16 for lightning_tiles.h, two at a time (VDPBF16PS), sums in f32. All in an unnamed
// namespace.
//
// An element is a pair of adjacent numbers of the dimension that is summed over. What the products
// read is rounded to bf16 once: the inputs already are, P = (x y^T) . M and the weighted y' are as
// any implementation in bf16 would have them, the state is kept in f32 and rounded for reading.
#pragma once

#include "ops/lightning/lightning_tiles.h"

#include <immintrin.h>

namespace tnl {
namespace {
namespace lightning {

// 16 lanes of f32 to 32 bf16 such that pairs of lanes of (even, odd) are adjacent.
[[gnu::always_inline]] inline __m512i to_pairs(__m512 even, __m512 odd) {
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order,
                                    __builtin_bit_cast(__m512i, _mm512_cvtne2ps_pbh(odd, even)));
}

[[gnu::always_inline]] inline __m512 to_f32(__m256i numbers) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(numbers), 16));
}

// The first n of 32 numbers, then zeros.
[[gnu::always_inline]] inline __mmask32 first(int64_t n) {
    return n >= 32 ? ~__mmask32{0} : n <= 0 ? __mmask32{0} : (__mmask32{1} << n) - 1;
}

// Rows of 16 words become columns.
[[gnu::always_inline]] inline void transpose(__m512i (&r)[16]) {
    __m512i t[16];
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        const __m512i a = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        const __m512i b = _mm512_unpackhi_epi32(r[i], r[i + 1]);
        const __m512i c = _mm512_unpacklo_epi32(r[i + 2], r[i + 3]);
        const __m512i d = _mm512_unpackhi_epi32(r[i + 2], r[i + 3]);
        t[i] = _mm512_unpacklo_epi64(a, c);
        t[i + 1] = _mm512_unpackhi_epi64(a, c);
        t[i + 2] = _mm512_unpacklo_epi64(b, d);
        t[i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    // t[4 g + j], lane block l: word 4 l + j of rows 4 g to 4 g + 3
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
        const __m512i a = _mm512_shuffle_i32x4(t[j], t[4 + j], 0x88);
        const __m512i b = _mm512_shuffle_i32x4(t[j], t[4 + j], 0xdd);
        const __m512i c = _mm512_shuffle_i32x4(t[8 + j], t[12 + j], 0x88);
        const __m512i d = _mm512_shuffle_i32x4(t[8 + j], t[12 + j], 0xdd);
        r[j] = _mm512_shuffle_i32x4(a, c, 0x88);
        r[8 + j] = _mm512_shuffle_i32x4(a, c, 0xdd);
        r[4 + j] = _mm512_shuffle_i32x4(b, d, 0x88);
        r[12 + j] = _mm512_shuffle_i32x4(b, d, 0xdd);
    }
}

struct Bf16 {
    using Number = bf16;
    using V = Vectors<64>;
    using Float = V::Float;
    using Element = uint32_t;
    using Vector = __m512i;
    static constexpr int64_t kPair = 2, kLanes = 16, kPanel = 32;
    static constexpr int kRows = 8;

    static Float multiply_add(const Float& c, uint32_t a, const __m512i& b) {
        return _mm512_dpbf16_ps(
            c, __builtin_bit_cast(__m512bh, _mm512_set1_epi32(static_cast<int>(a))),
            __builtin_bit_cast(__m512bh, b));
    }

    static void put_number(bf16* to, const Float& v) {
        const __m256bh rounded = _mm512_cvtneps_pbh(v);
        __builtin_memcpy(static_cast<void*>(to), &rounded, sizeof rounded);
    }
    static void put_score(uint32_t* row, int64_t vector, const Float& v) {
        const __m256bh rounded = _mm512_cvtneps_pbh(v);
        __builtin_memcpy(row + vector * kLanes / 2, &rounded, sizeof rounded);
    }

    // The operand of a state [K,N]: [ceil(N / panel)][ceil(K / 2)][panel] pairs.
    static int64_t operand_elements(int64_t K, int64_t N) {
        return (K + 1) / 2 * rounded_up(N, kPanel);
    }
    template <int kRows> static void put_state(uint32_t* operand, const Sums<Bf16, kRows, 2>& c) {
#pragma GCC unroll 4
        for (int i = 0; i < kRows; i += 2)
#pragma GCC unroll 2
            for (int j = 0; j < 2; ++j)
                _mm512_storeu_si512(operand + i / 2 * kPanel + j * kLanes,
                                    to_pairs(c[i][j], i + 1 < kRows ? c[i + 1][j] : Float{}));
    }
    static void make_operand(uint32_t* operand, const float* state, int64_t K, int64_t N) {
        for (int64_t n = 0; n < N; n += kPanel)
            for (int64_t d = 0; d < K; d += 2, operand += kPanel)
                for (int64_t j = 0; j < kPanel; j += kLanes) {
                    const float* from = state + n * K + d * kPanel + j;
                    const Float even = V::load(from);
                    const Float odd = d + 1 < K ? V::load(from + kPanel) : Float{};
                    _mm512_storeu_si512(operand + j, to_pairs(even, odd));
                }
    }

    static void pack_x(uint32_t* to, int64_t ldx, const bf16* x, int64_t stride, int64_t m,
                       int64_t K) {
        for (int64_t r = 0; r < m; ++r, to += ldx, x += stride)
            for (int64_t k = 0; k < K; k += 32)
                _mm512_storeu_si512(to + k / 2, _mm512_maskz_loadu_epi16(first(K - k), x + k));
    }
    // pairs of rows: [ceil(m / 2)][K]
    static void pack_weighted(uint32_t* to, int64_t ldy, const bf16* y, int64_t stride, int64_t m,
                              int64_t K, const float* weights, float scale) {
        for (int64_t r = 0; r < m; r += 2, to += ldy, y += 2 * stride) {
            const bool both = r + 1 < m;
            const __m512 w0 = _mm512_set1_ps(weights[m - 1 - r] * scale);
            const __m512 w1 = _mm512_set1_ps(both ? weights[m - 2 - r] * scale : 0.0f);
            for (int64_t k = 0; k < K; k += 16) {
                const auto mask = static_cast<__mmask16>(first(smaller(K - k, 16)));
                const __m256i even = _mm256_maskz_loadu_epi16(mask, y + k);
                const __m256i odd =
                    _mm256_maskz_loadu_epi16(both ? mask : __mmask16{0}, y + stride + k);
                _mm512_storeu_si512(to + k, to_pairs(to_f32(even) * w0, to_f32(odd) * w1));
            }
        }
    }
    // [ceil(N / panel)][ceil(m / 2)][panel] pairs
    static void pack_z(uint32_t* to, const bf16* z, int64_t stride, int64_t m, int64_t N) {
        const __m512i low =
            _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7,
                             38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
        const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
        const int64_t height = (m + 1) / 2;
        for (int64_t r = 0; r < m; r += 2, to += kPanel, z += 2 * stride)
            for (int64_t n = 0; n < N; n += kPanel) {
                const __mmask32 mask = first(N - n);
                const __m512i even = _mm512_maskz_loadu_epi16(mask, z + n);
                const __m512i odd =
                    _mm512_maskz_loadu_epi16(r + 1 < m ? mask : __mmask32{0}, z + stride + n);
                uint32_t* out = to + n * height;
                _mm512_storeu_si512(out, _mm512_permutex2var_epi16(even, low, odd));
                _mm512_storeu_si512(out + kLanes, _mm512_permutex2var_epi16(even, high, odd));
            }
    }
    // [ceil(m / panel)][ceil(K / 2)][panel] pairs
    static void pack_y(uint32_t* to, const bf16* y, int64_t stride, int64_t m, int64_t K) {
        transpose_pairs(to, (K + 1) / 2, m, K, [&](int64_t r, int64_t k) {
            return _mm512_maskz_loadu_epi16(r < m ? first(K - k) : __mmask32{0},
                                            y + r * stride + k);
        });
    }
    // The operand of S^T [N,K] from S [K,N] in panels.
    static void transpose_state(uint32_t* to, const float* state, int64_t K, int64_t N) {
        transpose_pairs(to, (N + 1) / 2, K, N, [&](int64_t r, int64_t n) {
            if (r >= K) return _mm512_setzero_si512();
            const float* from = state + n * K + r * kPanel;
            return __builtin_bit_cast(__m512i,
                                      _mm512_cvtne2ps_pbh(V::load(from + kLanes), V::load(from)));
        });
    }

  private:
    // Rows and columns of pairs exchanged: load(row, column) gives 32 numbers of a row.
    template <class F>
    [[gnu::always_inline]] static void transpose_pairs(uint32_t* to, int64_t ld, int64_t rows,
                                                       int64_t columns, F&& load) {
        for (int64_t r = 0; r < rounded_up(rows, kPanel); r += kLanes)
            for (int64_t c = 0; c < columns; c += 32) {
                __m512i block[16];
#pragma GCC unroll 16
                for (int i = 0; i < 16; ++i) block[i] = load(r + i, c);
                transpose(block);
                uint32_t* out = to + (r / kPanel * ld + c / 2) * kPanel + r % kPanel;
                const int64_t pairs = smaller(16, ld - c / 2);
                if (pairs == 16) {
#pragma GCC unroll 16
                    for (int i = 0; i < 16; ++i) _mm512_storeu_si512(out + i * kPanel, block[i]);
                } else {
                    for (int64_t i = 0; i < pairs; ++i)
                        _mm512_storeu_si512(out + i * kPanel, block[i]);
                }
            }
    }
};

} // namespace lightning
} // namespace
} // namespace tnl
