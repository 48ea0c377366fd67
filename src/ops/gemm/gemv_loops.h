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

// out[m * ld_out + r * out_step] = a_m . b_r; kM rows of a, kR of b, two sums each, in an order
// that depends neither on how many rows there are nor on which.
template <class S, int kBytes, int kM, int kR>
void dot_tile(float* out, int64_t ld_out, int64_t out_step, const float* a, int64_t lda, const S* b,
              int64_t ldb, int64_t K) {
    using V = Vectors<kBytes>;
    using Float = typename V::Float;
    constexpr int kSums = 2;
    constexpr int64_t kStep = kSums * V::kLanes;
    Float sums[kM][kR][kSums] = {};
    int64_t k = 0;
    for (; k + kStep <= K; k += kStep)
        for (int r = 0; r < kR; ++r) {
            const S* const at = b + r * ldb + k;
            simd_loops::ask_ahead<kStep * int64_t{sizeof(S)}>(at);
            for (int u = 0; u < kSums; ++u) {
                const Float weight = V::load(at + u * V::kLanes);
                for (int m = 0; m < kM; ++m)
                    sums[m][r][u] += weight * V::load(a + m * lda + k + u * V::kLanes);
            }
        }
    for (int m = 0; m < kM; ++m)
        for (int r = 0; r < kR; ++r) {
            const Float sum = sums[m][r][0] + sums[m][r][1];
            float lanes[V::kLanes];
            __builtin_memcpy(lanes, &sum, sizeof lanes);
            for (int n = V::kLanes / 2; n > 0; n /= 2)
                for (int i = 0; i < n; ++i) lanes[i] += lanes[i + n];
            float total = lanes[0];
            for (int64_t i = k; i < K; ++i)
                total += a[m * lda + i] * simd_loops::load(b[r * ldb + i]);
            out[m * ld_out + r * out_step] = total;
        }
}

template <class S, int kBytes, int kM>
void dot_rows_of(float* out, int64_t ld_out, const float* a, int64_t lda, const S* b, int64_t ldb,
                 int64_t R, int64_t K) {
    constexpr int kR = kM == 1 ? 4 : kM == 2 ? 2 : 1;
    const int64_t apart = R / kR; // as ask_ahead wants it
    for (int64_t r = 0; r < apart; ++r)
        dot_tile<S, kBytes, kM, kR>(out + r, ld_out, apart, a, lda, b + r * ldb, apart * ldb, K);
    for (int64_t r = apart * kR; r < R; ++r)
        dot_tile<S, kBytes, kM, 1>(out + r, ld_out, 0, a, lda, b + r * ldb, 0, K);
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
