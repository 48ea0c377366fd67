// Register tiles of the products of lightning_loops.h; like it, all in an unnamed namespace.
//
// They are written for an arithmetic A (lightning_f32.h, lightning_bf16.h), which says what one
// element of an operand is (a number, or a pair of bf16 whose products are summed), how vectors of
// elements are multiplied, and how operands are packed and results are rounded.
#pragma once

#include "ops/gemm/gemv_loops.h"
#include "ops/lightning/lightning_simd.h"

namespace tnl {
namespace {
namespace lightning {

using simd_loops::smaller;
using simd_loops::Vectors;

constexpr int64_t kChunk = kLightningChunk;

inline int64_t rounded_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Elements that the packed rows of x and y' are apart: no multiple of 256 bytes, lest one column of
// them share a few sets of the cache.
inline int64_t padded(int64_t elements) { return rounded_up(elements, 16) + 16; }

// Elements that n numbers make.
template <class A> inline int64_t elements(int64_t n) { return (n + A::kPair - 1) / A::kPair; }

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

// ---- memory asked for ahead ----

// The rows of out of this chunk and of x, y and z of the next, asked for a few at a time while
// tiles are multiplied: they lie pages apart, which no processor foresees.
template <class S> class Ahead {
  public:
    // `calls` of next() are to come.
    Ahead(const LightningScan<S>& s, int64_t t, int64_t m, int64_t calls)
        : base_{s.out, s.x, s.y, s.z}, stride_{s.out_stride, s.x_stride, s.y_stride, s.z_stride},
          width_{s.out ? s.N : 0, s.out ? s.K : 0, s.given ? 0 : s.K, s.given ? 0 : s.N},
          begin_{t, t + m}, end_{t + m, smaller(t + m + kChunk, s.tokens)},
          rows_(4 * kChunk / (calls + 1) + 1) {}
    [[gnu::always_inline]] inline void next() {
        for (int64_t i = 0; i < rows_; ++i) next_row();
    }

  private:
    [[gnu::always_inline]] inline void next_row() {
        const int64_t i = at_ & 3, token = begin_[i != 0] + (at_ >> 2);
        ++at_;
        if (token >= end_[i != 0] || width_[i] == 0) return; // what is not read may be null
        const S* from = base_[i] + token * stride_[i];
        for (int64_t n = 0; n < width_[i]; n += 64 / static_cast<int64_t>(sizeof(S)))
            __builtin_prefetch(from + n, 0, 2);
    }

    const S* base_[4];
    int64_t stride_[4], width_[4], begin_[2], end_[2], rows_, at_ = 0;
};

// Elements multiplied between two calls of next().
constexpr int64_t kPiece = 16;

// ---- register tiles ----

template <class A, int kRows, int kVectors> using Sums = typename A::Float[kRows][kVectors];

// c += a b over k elements; a by rows of stride lda (kByRows) or by columns, b in panels.
template <class A, bool kByRows, int kRows, int kVectors>
[[gnu::always_inline]] inline void
multiply(Sums<A, kRows, kVectors>& c, const typename A::Element* a, int64_t lda,
         const typename A::Element* b, int64_t k, Ahead<typename A::Number>& ahead) {
    for (; k > 0; k -= kPiece) {
        ahead.next();
        for (const auto* end = b + smaller(k, kPiece) * A::kPanel; b != end; b += A::kPanel) {
            typename A::Vector x[kVectors];
#pragma GCC unroll 2
            for (int j = 0; j < kVectors; ++j)
                __builtin_memcpy(&x[j], b + j * A::kLanes, sizeof x[j]);
#pragma GCC unroll 8
            for (int i = 0; i < kRows; ++i) {
                const typename A::Element element = kByRows ? a[i * lda] : a[i];
#pragma GCC unroll 2
                for (int j = 0; j < kVectors; ++j)
                    c[i][j] = A::multiply_add(c[i][j], element, x[j]);
            }
            a += kByRows ? 1 : lda;
        }
    }
}

// p = scale (x y^T) . M; mask points at the entry of the tile's first row and column.
template <class A, int kRows, int kVectors>
[[gnu::noinline]] void score_tile(typename A::Element* p, const typename A::Element* x, int64_t ldx,
                                  const typename A::Element* y, int64_t k, const float* mask,
                                  float scale, Ahead<typename A::Number>& ahead) {
    Sums<A, kRows, kVectors> c = {};
    multiply<A, true, kRows, kVectors>(c, x, ldx, y, k, ahead);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j)
            A::put_score(p + i * padded(elements<A>(kChunk)), j,
                         c[i][j] * scale * A::V::load(mask - i + j * A::kLanes));
}

// out = scale diag(power) (x S) + p z, with `before` elements of tokens.
template <class A, int kRows>
[[gnu::noinline]] void
out_tile(typename A::Number* out, int64_t stride, const typename A::Element* x, int64_t ldx,
         const typename A::Element* state, int64_t k, const float* power, float scale,
         const typename A::Element* p, const typename A::Element* z, int64_t before,
         Ahead<typename A::Number>& ahead) {
    Sums<A, kRows, 2> c = {};
    multiply<A, true, kRows, 2>(c, x, ldx, state, k, ahead);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
        const float factor = power[i] * scale;
        c[i][0] *= factor;
        c[i][1] *= factor;
    }
    multiply<A, true, kRows, 2>(c, p, padded(elements<A>(kChunk)), z, before, ahead);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
        for (int j = 0; j < 2; ++j) A::put_number(out + i * stride + j * A::kLanes, c[i][j]);
}

// state = keep state + change state + y'^T z; operand: how the state is multiplied next.
template <class A, int kRows>
[[gnu::noinline]] void state_tile(float* state, typename A::Element* operand,
                                  const typename A::Element* y, int64_t ldy,
                                  const typename A::Element* z, int64_t k, float keep, float change,
                                  Ahead<typename A::Number>& ahead) {
    Sums<A, kRows, 2> c = {};
    multiply<A, false, kRows, 2>(c, y, ldy, z, k, ahead);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
        for (int j = 0; j < 2; ++j) {
            float* s = state + i * A::kPanel + j * A::kLanes;
            const auto old = A::V::load(s);
            c[i][j] += change * old; // the small ones first: rounded once
            c[i][j] += keep * old;
            put(s, c[i][j]);
        }
    A::template put_state<kRows>(operand, c);
}

// f<rows>() for a number of rows known at run time.
template <int kRows, class F> [[gnu::always_inline]] inline void with_rows(int64_t rows, F&& f) {
    if (rows == kRows)
        f.template operator()<kRows>();
    else if constexpr (kRows > 1)
        with_rows<kRows - 1>(rows, f);
}

template <class A> inline int64_t tiles(int64_t rows) { return (rows + A::kRows - 1) / A::kRows; }

// f<rows>(first row) over tiles of about equal height, each of whole elements but the last.
template <class A, class F> [[gnu::always_inline]] inline void for_tiles(int64_t rows, F&& f) {
    const int64_t count = tiles<A>(rows), units = elements<A>(rows);
    for (int64_t t = 0; t < count; ++t) {
        const int64_t begin = units * t / count * A::kPair;
        const int64_t end = smaller(units * (t + 1) / count * A::kPair, rows);
        with_rows<A::kRows>(end - begin, [&]<int kRows>() { f.template operator()<kRows>(begin); });
    }
}

} // namespace lightning
} // namespace
} // namespace tnl
