// The loops of lightning_simd.h, included by lightning_{baseline,avx2,avx512}.cpp alone: everything
// lies in an unnamed namespace and calls no inline function of other headers (ops/simd/table.h says
// why).
//
// A chunk of m tokens is packed to f32 once and then three products of register tiles follow, over
// panels of kPanel columns that stay in the first level cache:
//   P = (x y^T) . M      out = diag(lambda^r) (x S) + P z      S = lambda^m S + y'^T z
// with the decay of a token until the chunk's end in y'. Of P, tiles above the diagonal are
// skipped, and rows of P z stop at it.
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

// ---- the scan ----

// The rows of out of this chunk and of x, y and z of the next, asked for one at a time between
// tiles: they lie pages apart, which no processor foresees.
template <class S> class Ahead {
  public:
    Ahead(const LightningScan<S>& s, int64_t t, int64_t m)
        : base_{s.out, s.x, s.y, s.z}, stride_{s.out_stride, s.x_stride, s.y_stride, s.z_stride},
          width_{s.out ? s.N : 0, s.out ? s.K : 0, s.given ? 0 : s.K, s.given ? 0 : s.N},
          begin_{t, t + m}, end_{t + m, smaller(t + m + kChunk, s.tokens)} {}
    [[gnu::always_inline]] inline void next() {
        const int64_t i = at_ & 3, token = begin_[i != 0] + (at_ >> 2);
        ++at_;
        if (token >= end_[i != 0] || width_[i] == 0) return;
        const S* from = base_[i] + token * stride_[i];
        for (int64_t n = 0; n < width_[i]; n += 64 / static_cast<int64_t>(sizeof(S)))
            __builtin_prefetch(from + n, 0, 2);
    }

  private:
    const S* base_[4];
    int64_t stride_[4], width_[4], begin_[2], end_[2], at_ = 0;
};

// Where things lie in the workspace, in floats.
template <int kBytes> struct Workspace {
    using T = Tile<kBytes>;
    float *x, *y, *y_transposed, *p, *z, *out;
    Workspace(float* memory, int64_t K, int64_t N) {
        x = memory;
        y = x + kChunk * padded(K);
        y_transposed = y + kChunk * padded(K);
        p = y_transposed + kChunk * K;
        z = p + kChunk * padded(kChunk);
        out = z + kChunk * T::columns(N);
    }
};

template <class S, int kBytes> struct Scan {
    using T = Tile<kBytes>;
    LightningScan<S>& s;
    Workspace<kBytes> w;
    int64_t ldx;

    explicit Scan(LightningScan<S>& scan)
        : s(scan), w(scan.workspace, scan.K, scan.N), ldx(padded(scan.K)) {}

    void pack(int64_t t, int64_t m, bool update) const {
        const S *x = s.x + t * s.x_stride, *y = s.y + t * s.y_stride;
        for (int64_t r = 0; s.out && r < m; ++r)
            pack_row<S, kBytes>(w.x + r * ldx, x + r * s.x_stride, s.K, s.x_scale);
        for (int64_t r = 0; r < m; r += 4) {
            const int64_t end = smaller(r + 4, m);
            if (s.out) pack_transposed<S, kBytes>(w.y_transposed, s.K, y, s.y_stride, r, end, s.K);
            for (int64_t i = r; update && i < end; ++i)
                pack_row<S, kBytes>(w.y + i * ldx, y + i * s.y_stride, s.K,
                                    s.decay->power[m - 1 - i + s.ahead]);
        }
        fill_transposed<kBytes>(w.y_transposed, m, s.K);
        pack_panels<S, kBytes>(w.z, s.z + t * s.z_stride, s.z_stride, m, s.N, s.z_scale);
    }
    void scores(int64_t m) const {
        for (int64_t j = 0; j < m; j += T::kPanel)
            for_tiles<kBytes>(m, j, [&]<int kM>(int64_t i) { // tiles that reach the diagonal
                score_tile<kBytes, kM>(w.p + i * padded(kChunk) + j, w.x + i * ldx, ldx,
                                       w.y_transposed + j * s.K, s.K,
                                       s.decay->mask + kChunk + j - i);
            });
    }
    void write(int64_t t, int64_t m) const {
        for (int64_t r = 0; r < m; ++r) {
            S* to = s.out + (t + r) * s.out_stride;
            const float* from = w.out + r * T::kPanel;
            int64_t n = 0;
            for (; n + T::kPanel <= s.N; n += T::kPanel)
                unpack_row(to + n, from + n * kChunk, T::kPanel);
            unpack_row(to + n, from + n * kChunk, s.N - n);
        }
    }
    void chunk(int64_t t, int64_t m, bool update) const {
        Ahead<S> ahead(s, t, m);
        pack(t, m, update);
        if (s.out) scores(m);
        for (int64_t n = 0; n < s.N; n += T::kPanel) {
            float *state = s.state + n * s.K, *out = w.out + n * kChunk;
            const float* z = w.z + n * m;
            if (s.out)
                for_tiles<kBytes>(m, 0, [&]<int kM>(int64_t i) {
                    ahead.next();
                    out_tile<kBytes, kM>(out + i * T::kPanel, w.x + i * ldx, ldx, state,
                                         s.fresh ? 0 : s.K, s.decay->power + i + 1 - s.ahead,
                                         w.p + i * padded(kChunk), z, i + kM);
                });
            if (update)
                for_tiles<kBytes>(s.K, 0, [&]<int kM>(int64_t d) {
                    ahead.next();
                    state_tile<kBytes, kM>(state + d * T::kPanel, w.y + d, ldx, z, m,
                                           s.decay->keep[m], s.decay->change[m]);
                });
        }
        if (s.out) write(t, m);
    }
};

template <class S, int kBytes> void clear(LightningScan<S>& s) {
    constexpr int64_t kPanel = Tile<kBytes>::kPanel;
    const int64_t floats = (s.N + kPanel - 1) / kPanel * kPanel * s.K;
    for (int64_t i = 0; i < floats; ++i) s.state[i] = 0;
}

template <class S, int kBytes> void scan(LightningScan<S>& s) {
    const FlushDenormals flush;
    const Scan<S, kBytes> scan(s);
    for (int64_t t = 0; t < s.tokens; t += kChunk) {
        const int64_t m = smaller(kChunk, s.tokens - t);
        const bool update = s.want_state || t + m < s.tokens;
        if (update && s.fresh) clear<S, kBytes>(s);
        scan.chunk(t, m, update);
        if (update) s.fresh = false;
    }
}

// Two scans over the same tokens, the state of the second the transpose of the first's.
template <class S, int kBytes> void scan_pair(LightningScan<S>& s, LightningScan<S>& other) {
    const FlushDenormals flush;
    const Scan<S, kBytes> scan(s), second(other);
    constexpr int64_t kPanel = Tile<kBytes>::kPanel;
    for (int64_t t = 0; t < s.tokens; t += kChunk) {
        const int64_t m = smaller(kChunk, s.tokens - t);
        const bool update = s.want_state || t + m < s.tokens;
        other.fresh = s.fresh;
        if (!s.fresh) {
            for (int64_t n = 0; n < s.N; n += kPanel)
                pack_transposed<float, kBytes>(other.state + n * kPanel, s.N, s.state + n * s.K,
                                               kPanel, 0, s.K, smaller(kPanel, s.N - n));
            fill_transposed<kBytes>(other.state, s.K, s.N);
        }
        second.chunk(t, m, false);
        if (update && s.fresh) clear<S, kBytes>(s);
        scan.chunk(t, m, update);
        if (update) s.fresh = false;
    }
}

// ---- one token ----

// kVectors vectors of columns of the state, read and written once.
template <int kBytes, int kVectors, bool kRead, bool kWrite>
[[gnu::always_inline]] inline void
step_columns(float* o, const float* in, float* out, int64_t stride, const float* q, const float* k,
             const float* v, int64_t K, float keep, float change) {
    using T = Tile<kBytes>;
    typename T::Float sums[kVectors] = {};
    for (int64_t d = 0; d < K; ++d) {
#pragma GCC unroll 8
        for (int u = 0; u < kVectors; ++u) {
            auto s = k[d] * T::V::load(v + u * T::kLanes);
            if (kRead) {
                const auto old = T::V::load(in + d * stride + u * T::kLanes);
                s += keep * old;
                s += change * old;
            }
            if (kWrite) put(out + d * stride + u * T::kLanes, s);
            sums[u] += q[d] * s;
        }
    }
    for (int u = 0; u < kVectors; ++u) put(o + u * T::kLanes, sums[u]);
}

template <int kBytes, bool kRead, bool kWrite>
void step_state(float* o, const float* in, float* out, int64_t stride, const float* q,
                const float* k, const float* v, int64_t K, int64_t N, float keep, float change) {
    constexpr int64_t kLanes = Tile<kBytes>::kLanes;
    const auto moved = [](auto* state, int64_t n) { return state ? state + n : state; };
    int64_t n = 0;
    for (; n + 8 * kLanes <= N; n += 8 * kLanes)
        step_columns<kBytes, 8, kRead, kWrite>(o + n, moved(in, n), moved(out, n), stride, q, k,
                                               v + n, K, keep, change);
    for (; n + kLanes <= N; n += kLanes)
        step_columns<kBytes, 1, kRead, kWrite>(o + n, moved(in, n), moved(out, n), stride, q, k,
                                               v + n, K, keep, change);
    for (; n < N; ++n) {
        float sum = 0;
        for (int64_t d = 0; d < K; ++d) {
            float s = k[d] * v[n];
            if (kRead) s = s + keep * in[d * stride + n] + change * in[d * stride + n];
            if (kWrite) out[d * stride + n] = s;
            sum += q[d] * s;
        }
        o[n] = sum;
    }
}

template <class S, int kBytes> void step(const LightningStep<S>& s) {
    const FlushDenormals flush;
    float *q = s.workspace, *k = q + s.K, *v = k + s.K, *o = v + s.N;
    pack_row<S, kBytes>(q, s.q, s.K, s.scale);
    pack_row<S, kBytes>(k, s.k, s.K, 1);
    pack_row<S, kBytes>(v, s.v, s.N, 1);
    const auto run =
        s.state_in ? s.state_out ? step_state<kBytes, true, true> : step_state<kBytes, true, false>
        : s.state_out ? step_state<kBytes, false, true>
                      : step_state<kBytes, false, false>;
    run(o, s.state_in, s.state_out, s.stride, q, k, v, s.K, s.N, s.keep, s.change);
    unpack_row(s.o, o, s.N);
}

// ---- the state ----

template <int kBytes>
void load_state(float* panels, const float* from, int64_t stride, int64_t K, int64_t N) {
    pack_panels<float, kBytes>(panels, from, stride, K, N, 1);
}

template <int kBytes>
void load_state_transposed(float* panels, const float* from, int64_t stride, int64_t K, int64_t N) {
    pack_transposed<float, kBytes>(panels, K, from, stride, 0, N, K);
    fill_transposed<kBytes>(panels, N, K);
}

template <int kBytes>
void store_state(float* to, int64_t stride, const float* panels, int64_t K, int64_t N) {
    constexpr int64_t kPanel = Tile<kBytes>::kPanel;
    for (int64_t n = 0; n < N; n += kPanel)
        for (int64_t d = 0; d < K; ++d)
            unpack_row(to + d * stride + n, panels + n * K + d * kPanel, smaller(kPanel, N - n));
}

template <int kBytes> constexpr LightningLoops table(const char* name) {
    return {
        .name = name,
        .panel = Tile<kBytes>::kPanel,
        .scan_f32 = scan<float, kBytes>,
        .scan_bf16 = scan<bf16, kBytes>,
        .pair_f32 = scan_pair<float, kBytes>,
        .pair_bf16 = scan_pair<bf16, kBytes>,
        .step_f32 = step<float, kBytes>,
        .step_bf16 = step<bf16, kBytes>,
        .load_state = load_state<kBytes>,
        .load_state_transposed = load_state_transposed<kBytes>,
        .store_state = store_state<kBytes>,
    };
}

} // namespace lightning
} // namespace
} // namespace tnl
