// Dot products of a few f32 rows with many rows read once from memory.
#pragma once

#include "ops/simd/scalar.h"

namespace tnl {
namespace {
namespace simd_loops {

// Vectors of kBytes. (Their sizes are written out: GCC 12 rejects conversions between vectors whose
// size depends on a template.)
template <int kBytes> struct VectorTypes;
template <> struct VectorTypes<16> {
    typedef float Float __attribute__((vector_size(16)));
    typedef uint32_t Word __attribute__((vector_size(16)));
    typedef uint16_t Half __attribute__((vector_size(8)));
};
template <> struct VectorTypes<32> {
    typedef float Float __attribute__((vector_size(32)));
    typedef uint32_t Word __attribute__((vector_size(32)));
    typedef uint16_t Half __attribute__((vector_size(16)));
};
template <> struct VectorTypes<64> {
    typedef float Float __attribute__((vector_size(64)));
    typedef uint32_t Word __attribute__((vector_size(64)));
    typedef uint16_t Half __attribute__((vector_size(32)));
};

template <int kBytes> struct Vectors : VectorTypes<kBytes> {
    using Float = typename VectorTypes<kBytes>::Float;
    using Word = typename VectorTypes<kBytes>::Word;
    using Half = typename VectorTypes<kBytes>::Half;
    static constexpr int kLanes = kBytes / 4;

    static Float load(const float* x) {
        Float v;
        __builtin_memcpy(&v, x, sizeof v);
        return v;
    }
    static Float load(const bf16* x) {
        Half half;
        __builtin_memcpy(&half, x, sizeof half);
        const Word word = __builtin_convertvector(half, Word) << 16;
        return __builtin_bit_cast(Float, word);
    }
};

// out[m] = a_m . b; kM rows of a, several sums each, to cover the latency of the additions. b is
// one stream per thread, which the processor foresees: asking for it ahead only costs.
template <class S, int kBytes, int kM>
void dot_row(float* out, int64_t ld_out, const float* a, int64_t lda, const S* b, int64_t K) {
    using V = Vectors<kBytes>;
    using Float = typename V::Float;
    constexpr int kUnroll = kM >= 3 ? 2 : 4;
    constexpr int64_t kStep = kUnroll * V::kLanes;
    Float sums[kM][kUnroll] = {};
    int64_t k = 0;
    for (; k + kStep <= K; k += kStep)
        for (int u = 0; u < kUnroll; ++u) {
            const Float weight = V::load(b + k + u * V::kLanes);
            for (int m = 0; m < kM; ++m)
                sums[m][u] += weight * V::load(a + m * lda + k + u * V::kLanes);
        }
    for (int m = 0; m < kM; ++m) {
        for (int u = 1; u < kUnroll; ++u) sums[m][0] += sums[m][u];
        float lanes[V::kLanes];
        __builtin_memcpy(lanes, &sums[m][0], sizeof lanes);
        for (int n = V::kLanes / 2; n > 0; n /= 2)
            for (int i = 0; i < n; ++i) lanes[i] += lanes[i + n];
        float total = lanes[0];
        for (int64_t i = k; i < K; ++i) total += a[m * lda + i] * simd_loops::load(b[i]);
        out[m * ld_out] = total;
    }
}

template <class S, int kBytes, int kM>
void dot_rows_of(float* out, int64_t ld_out, const float* a, int64_t lda, const S* b, int64_t ldb,
                 int64_t R, int64_t K) {
    for (int64_t r = 0; r < R; ++r) dot_row<S, kBytes, kM>(out + r, ld_out, a, lda, b + r * ldb, K);
}

template <class S, int kBytes>
void dot_rows(float* out, int64_t ld_out, const float* a, int64_t lda, int64_t M, const S* b,
              int64_t ldb, int64_t R, int64_t K) {
    switch (M) {
    case 1:
        return dot_rows_of<S, kBytes, 1>(out, ld_out, a, lda, b, ldb, R, K);
    case 2:
        return dot_rows_of<S, kBytes, 2>(out, ld_out, a, lda, b, ldb, R, K);
    case 3:
        return dot_rows_of<S, kBytes, 3>(out, ld_out, a, lda, b, ldb, R, K);
    case 4:
        return dot_rows_of<S, kBytes, 4>(out, ld_out, a, lda, b, ldb, R, K);
    case 5:
        return dot_rows_of<S, kBytes, 5>(out, ld_out, a, lda, b, ldb, R, K);
    case 6:
        return dot_rows_of<S, kBytes, 6>(out, ld_out, a, lda, b, ldb, R, K);
    case 7:
        return dot_rows_of<S, kBytes, 7>(out, ld_out, a, lda, b, ldb, R, K);
    default:
        return dot_rows_of<S, kBytes, 8>(out, ld_out, a, lda, b, ldb, R, K);
    }
}

} // namespace simd_loops
} // namespace
} // namespace tnl
