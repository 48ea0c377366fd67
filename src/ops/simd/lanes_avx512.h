// What the AVX-512 loops over rows of weights share. Included by *_loops*.h alone.
#pragma once

#include "ops/simd/scalar.h"

#include <immintrin.h>

namespace tnl {
namespace {
namespace simd_loops {

// The sums of the lanes of four vectors, each added up in the same order.
[[gnu::always_inline]] inline __m128 sum_lanes_of_four(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512d pairs = _mm512_castps_pd(ab), others = _mm512_castps_pd(cd);
    const __m512 all = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(pairs, others)),
                                     _mm512_castpd_ps(_mm512_unpackhi_pd(pairs, others)));
    const __m256 two = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    return _mm_add_ps(_mm256_castps256_ps128(two), _mm256_extractf128_ps(two, 1));
}

// Of kR <= 4 vectors; zeros after them.
template <int kR> [[gnu::always_inline]] inline __m128 sum_lanes_of_rows(const __m512 (&x)[kR]) {
    static_assert(kR == 1 || kR == 2 || kR == 4);
    const __m512 zero = _mm512_setzero_ps();
    if constexpr (kR == 1)
        return sum_lanes_of_four(x[0], zero, zero, zero);
    else if constexpr (kR == 2)
        return sum_lanes_of_four(x[0], x[1], zero, zero);
    else
        return sum_lanes_of_four(x[0], x[1], x[2], x[3]);
}

} // namespace simd_loops
} // namespace
} // namespace tnl
