// Register tiles and packing for lightning_loops.h; like it, all in an unnamed namespace.
#pragma once

#include "ops/gemm/gemv_loops.h"
#include "ops/lightning/lightning_simd.h"

namespace tnl {
namespace {
namespace lightning {

using simd_loops::smaller;
using simd_loops::Vectors;

constexpr int64_t kChunk = kLightningChunk;

// Rows of A times two vectors of B: as many sums as fit the registers beside one A and two B.
template <int kBytes> struct Tile {
    using V = Vectors<kBytes>;
    using Float = typename V::Float;
    static constexpr int64_t kLanes = V::kLanes, kPanel = 2 * kLanes;
    static constexpr int kRows = kBytes == 64 ? 14 : kBytes == 32 ? 6 : 4;
    static int64_t columns(int64_t n) { return (n + kPanel - 1) / kPanel * kPanel; }
    static int64_t count(int64_t rows) { return (rows + kRows - 1) / kRows; }
};

// Rows that the packed x and y' are apart: no multiple of 256 bytes, lest one column of them share
// a few sets of the cache.
inline int64_t padded(int64_t K) { return (K + 15) / 16 * 16 + 16; }

template <class Float> inline void put(float* to, const Float& v) {
    __builtin_memcpy(to, &v, sizeof v);
}

// Denormals are slow on some processors and come naturally from decay: they count as zero here.
class FlushDenormals {
  public:
    FlushDenormals() : saved_(__builtin_ia32_stmxcsr()) {
        __builtin_ia32_ldmxcsr(saved_ | 0x8040u);
    }
    ~FlushDenormals() { __builtin_ia32_ldmxcsr(saved_); }
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;

  private:
    unsigned saved_;
};

// ---- register tiles ----

// c += A b over k; A by rows of stride lda (kByRows) or by columns.
template <int kBytes, int kM, bool kByRows>
[[gnu::always_inline]] inline void multiply(typename Tile<kBytes>::Float (&c)[kM][2],
                                            const float* a, int64_t lda, const float* b,
                                            int64_t k) {
    using T = Tile<kBytes>;
    for (const float* end = b + k * T::kPanel; b != end; b += T::kPanel) {
        const auto b0 = T::V::load(b), b1 = T::V::load(b + T::kLanes);
#pragma GCC unroll 14
        for (int i = 0; i < kM; ++i) {
            const float x = kByRows ? a[i * lda] : a[i];
            c[i][0] += x * b0;
            c[i][1] += x * b1;
        }
        a += kByRows ? 1 : lda;
    }
}

// p = (x y^T) . M; mask points at the entry of the tile's first row and column.
template <int kBytes, int kM>
[[gnu::noinline]] void score_tile(float* p, const float* x, int64_t ldx, const float* y, int64_t K,
                                  const float* mask) {
    using T = Tile<kBytes>;
    typename T::Float c[kM][2] = {};
    multiply<kBytes, kM, true>(c, x, ldx, y, K);
#pragma GCC unroll 14
    for (int i = 0; i < kM; ++i)
#pragma GCC unroll 2
        for (int j = 0; j < 2; ++j)
            put(p + i * padded(kChunk) + j * T::kLanes,
                c[i][j] * T::V::load(mask - i + j * T::kLanes));
}

// out = diag(power) (x S) + p z, with `before` tokens of z.
template <int kBytes, int kM>
[[gnu::noinline]] void out_tile(float* out, const float* x, int64_t ldx, const float* state,
                                int64_t K, const float* power, const float* p, const float* z,
                                int64_t before) {
    using T = Tile<kBytes>;
    typename T::Float c[kM][2] = {};
    multiply<kBytes, kM, true>(c, x, ldx, state, K);
#pragma GCC unroll 14
    for (int i = 0; i < kM; ++i) {
        c[i][0] *= power[i];
        c[i][1] *= power[i];
    }
    multiply<kBytes, kM, true>(c, p, padded(kChunk), z, before);
#pragma GCC unroll 14
    for (int i = 0; i < kM; ++i)
#pragma GCC unroll 2
        for (int j = 0; j < 2; ++j) put(out + i * T::kPanel + j * T::kLanes, c[i][j]);
}

// state = keep state + change state + y'^T z
template <int kBytes, int kM>
[[gnu::noinline]] void state_tile(float* state, const float* y, int64_t ldy, const float* z,
                                  int64_t m, float keep, float change) {
    using T = Tile<kBytes>;
    typename T::Float c[kM][2] = {};
    multiply<kBytes, kM, false>(c, y, ldy, z, m);
#pragma GCC unroll 14
    for (int i = 0; i < kM; ++i)
#pragma GCC unroll 2
        for (int j = 0; j < 2; ++j) {
            float* s = state + i * T::kPanel + j * T::kLanes;
            const auto old = T::V::load(s);
            put(s, c[i][j] + (keep * old + change * old));
        }
}

// f<rows>() for a number of rows known at run time.
template <int kM, class F> [[gnu::always_inline]] inline void with_rows(int64_t rows, F&& f) {
    if (rows == kM)
        f.template operator()<kM>();
    else if constexpr (kM > 1)
        with_rows<kM - 1>(rows, f);
}

// f<rows>(first row) over tiles of about equal height, from the one that holds row `from`.
template <int kBytes, class F>
[[gnu::always_inline]] inline void for_tiles(int64_t rows, int64_t from, F&& f) {
    const int64_t tiles = Tile<kBytes>::count(rows);
    if (tiles == 0) return;
    const int64_t height = rows / tiles, higher = rows % tiles;
    int64_t begin = 0;
    for (int64_t t = 0; t < tiles; ++t) {
        const int64_t count = height + (t < higher);
        if (begin + count > from)
            with_rows<Tile<kBytes>::kRows>(count,
                                           [&]<int kM>() { f.template operator()<kM>(begin); });
        begin += count;
    }
}

// ---- packing ----

// to[n] = scale * from[n]
template <class S, int kBytes>
[[gnu::always_inline]] inline void pack_row(float* to, const S* from, int64_t n, float scale) {
    using T = Tile<kBytes>;
    int64_t i = 0;
    for (; i + T::kLanes <= n; i += T::kLanes) put(to + i, scale * T::V::load(from + i));
    for (; i < n; ++i) to[i] = scale * simd_loops::load(from[i]);
}

// [ceil(cols / panel)][rows][panel] from rows
template <class S, int kBytes>
void pack_panels(float* to, const S* from, int64_t stride, int64_t rows, int64_t cols,
                 float scale) {
    constexpr int64_t kPanel = Tile<kBytes>::kPanel;
    for (int64_t r = 0; r < rows; ++r, from += stride, to += kPanel) {
        int64_t c = 0;
        for (; c + kPanel <= cols; c += kPanel)
            pack_row<S, kBytes>(to + c * rows, from + c, kPanel, scale);
        if (c == cols) continue;
        pack_row<S, kBytes>(to + c * rows, from + c, cols - c, scale);
        for (int64_t i = cols - c; i < kPanel; ++i) to[c * rows + i] = 0;
    }
}

// Rows [begin, end) of the same from the transpose: `cols` columns into [ceil(rows / panel)][ld]
// [panel].
template <class S, int kBytes>
void pack_transposed(float* to, int64_t ld, const S* from, int64_t stride, int64_t begin,
                     int64_t end, int64_t cols) {
    constexpr int64_t kPanel = Tile<kBytes>::kPanel;
    using V4 = Vectors<16>;
    using Float4 = typename V4::Float;
    const auto at = [&](int64_t r, int64_t c) -> float* {
        return to + (r / kPanel * ld + c) * kPanel + r % kPanel;
    };
    int64_t r = begin;
    for (; r + 4 <= end; r += 4) {
        const S* source = from + r * stride;
        int64_t c = 0;
        for (; c + 4 <= cols; c += 4) {
            const Float4 a0 = V4::load(source + c), a1 = V4::load(source + stride + c);
            const Float4 a2 = V4::load(source + 2 * stride + c);
            const Float4 a3 = V4::load(source + 3 * stride + c);
            const Float4 b0 = __builtin_shufflevector(a0, a1, 0, 4, 1, 5);
            const Float4 b1 = __builtin_shufflevector(a0, a1, 2, 6, 3, 7);
            const Float4 b2 = __builtin_shufflevector(a2, a3, 0, 4, 1, 5);
            const Float4 b3 = __builtin_shufflevector(a2, a3, 2, 6, 3, 7);
            float* target = at(r, c);
            put(target, __builtin_shufflevector(b0, b2, 0, 1, 4, 5));
            put(target + kPanel, __builtin_shufflevector(b0, b2, 2, 3, 6, 7));
            put(target + 2 * kPanel, __builtin_shufflevector(b1, b3, 0, 1, 4, 5));
            put(target + 3 * kPanel, __builtin_shufflevector(b1, b3, 2, 3, 6, 7));
        }
        for (; c < cols; ++c)
            for (int64_t i = 0; i < 4; ++i)
                *at(r + i, c) = simd_loops::load(source[i * stride + c]);
    }
    for (; r < end; ++r)
        for (int64_t c = 0; c < cols; ++c) *at(r, c) = simd_loops::load(from[r * stride + c]);
}

// Zero for the rows that fill up the last panel.
template <int kBytes> void fill_transposed(float* to, int64_t rows, int64_t cols) {
    constexpr int64_t kPanel = Tile<kBytes>::kPanel;
    const int64_t width = rows % kPanel;
    if (width == 0) return;
    to += rows / kPanel * cols * kPanel;
    for (int64_t c = 0; c < cols; ++c)
        for (int64_t i = width; i < kPanel; ++i) to[c * kPanel + i] = 0;
}

template <class S> inline void unpack_row(S* to, const float* from, int64_t n) {
    for (int64_t i = 0; i < n; ++i) simd_loops::store(to[i], from[i]);
}

} // namespace lightning
} // namespace
} // namespace tnl
