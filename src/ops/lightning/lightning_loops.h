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

#include "ops/lightning/lightning_step_loops.h"
#include "ops/lightning/lightning_tiles.h"

namespace tnl {
namespace {
namespace lightning {

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
