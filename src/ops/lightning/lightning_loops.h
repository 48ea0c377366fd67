// The loops of lightning_simd.h, included by lightning_{baseline,avx2,avx512,...}.cpp alone:
// everything lies in an unnamed namespace and calls no inline function of other headers
// (ops/simd/table.h says why).
//
// A chunk of m tokens is packed once and then three products of register tiles follow, over panels
// of kPanel columns that stay in the first level cache:
//   P = (x y^T) . M      out = diag(lambda^r) (x S) + P z      S = lambda^m S + y'^T z
// with the decay of a token until the chunk's end in y'. Of P, tiles above the diagonal are
// skipped, and rows of P z stop at it.
#pragma once

#include "ops/lightning/lightning_f32.h"
#include "ops/lightning/lightning_step_loops.h"

namespace tnl {
namespace {
namespace lightning {

// Where things lie in the workspace.
template <class A> struct Workspace {
    using Element = typename A::Element;
    static_assert(sizeof(Element) == sizeof(float));
    Element *x, *y, *y_transposed, *p, *z, *operand;
    int64_t floats = 0;
    Workspace(float* memory, int64_t K, int64_t N) {
        const auto take = [&](int64_t n) {
            floats += n;
            return memory ? reinterpret_cast<Element*>(memory) + floats - n : nullptr;
        };
        const int64_t tokens = elements<A>(kChunk);
        x = take(kChunk * padded(elements<A>(K)));
        y = take(tokens * padded(K));
        y_transposed = take(rounded_up(kChunk, A::kPanel) * elements<A>(K));
        p = take(kChunk * padded(tokens));
        z = take(tokens * rounded_up(N, A::kPanel));
        operand = take(A::operand_elements(K, N));
    }
    static int64_t size(int64_t K, int64_t N) { return Workspace(nullptr, K, N).floats; }
};

template <class A> class Scan {
  public:
    using Number = typename A::Number;
    using Element = typename A::Element;
    explicit Scan(LightningScan<Number>& scan)
        : s(scan), w(scan.workspace, scan.K, scan.N), ldx(padded(elements<A>(scan.K))),
          ldy(padded(scan.K)) {}

    void chunk(int64_t t, int64_t m, bool update) const {
        Ahead<Number> ahead(s, t, m, pieces(m, update));
        pack(t, m, update);
        if (s.out) scores(m, ahead);
        for (int64_t n = 0; n < s.N; n += A::kPanel) {
            if (s.out) outputs(t, m, n, ahead);
            if (update) state(m, n, ahead);
        }
    }
    // What x S multiplies with.
    Element* operand() const {
        return A::kPair == 1 ? reinterpret_cast<Element*>(s.state) : w.operand;
    }

  private:
    // Calls of Ahead::next() of one chunk, about.
    int64_t pieces(int64_t m, bool update) const {
        const auto count = [](int64_t n) { return (elements<A>(n) + kPiece - 1) / kPiece; };
        const int64_t panels = (s.N + A::kPanel - 1) / A::kPanel;
        int64_t calls = 0;
        if (s.out) calls += tiles<A>(m) * (count(s.fresh ? 0 : s.K) + count(m) / 2 + 1);
        if (update) calls += tiles<A>(s.K) * count(m);
        return panels * calls;
    }
    void pack(int64_t t, int64_t m, bool update) const {
        const Number* y = s.y + t * s.y_stride;
        if (s.out) {
            A::pack_x(w.x, ldx, s.x + t * s.x_stride, s.x_stride, m, s.K);
            A::pack_y(w.y_transposed, y, s.y_stride, m, s.K);
        }
        if (update)
            A::pack_weighted(w.y, ldy, y, s.y_stride, m, s.K, s.decay->power + s.ahead, s.z_scale);
        A::pack_z(w.z, s.z + t * s.z_stride, s.z_stride, m, s.N);
    }
    void scores(int64_t m, Ahead<Number>& ahead) const {
        const int64_t k = elements<A>(s.K), ldp = padded(elements<A>(kChunk));
        for_tiles<A>(m, [&]<int kRows>(int64_t i) {
            for (int64_t j = 0; j < i + kRows; j += A::kPanel) { // up to the diagonal
                Element* p = w.p + i * ldp + j / A::kPair;
                const Element *x = w.x + i * ldx, *y = w.y_transposed + j * k;
                const float* mask = s.decay->mask + kChunk + j - i;
                const float scale = s.x_scale * s.z_scale;
                if (j + A::kLanes < i + kRows)
                    score_tile<A, kRows, 2>(p, x, ldx, y, k, mask, scale, ahead);
                else
                    score_tile<A, kRows, 1>(p, x, ldx, y, k, mask, scale, ahead);
            }
        });
    }
    void outputs(int64_t t, int64_t m, int64_t n, Ahead<Number>& ahead) const {
        const int64_t ldp = padded(elements<A>(kChunk)), width = smaller(A::kPanel, s.N - n);
        const int64_t k = s.fresh ? 0 : elements<A>(s.K);
        const Element* before = operand() + n * elements<A>(s.K);
        const Element* z = w.z + n * elements<A>(m);
        for_tiles<A>(m, [&]<int kRows>(int64_t i) {
            Number part[A::kRows * A::kPanel];
            Number* out = s.out + (t + i) * s.out_stride + n;
            const bool whole = width == A::kPanel;
            out_tile<A, kRows>(whole ? out : part, whole ? s.out_stride : A::kPanel, w.x + i * ldx,
                               ldx, before, k, s.decay->power + i + 1 - s.ahead, s.x_scale,
                               w.p + i * ldp, z, elements<A>(i + kRows), ahead);
            for (int64_t r = 0; !whole && r < kRows; ++r)
                for (int64_t c = 0; c < width; ++c)
                    out[r * s.out_stride + c] = part[r * A::kPanel + c];
        });
    }
    void state(int64_t m, int64_t n, Ahead<Number>& ahead) const {
        float* panel = s.state + n * s.K;
        Element* rounded = w.operand + n * elements<A>(s.K);
        const Element* z = w.z + n * elements<A>(m);
        for_tiles<A>(s.K, [&]<int kRows>(int64_t d) {
            state_tile<A, kRows>(panel + d * A::kPanel, rounded + d / A::kPair * A::kPanel, w.y + d,
                                 ldy, z, elements<A>(m), s.decay->keep[m], s.decay->change[m],
                                 ahead);
        });
    }

    LightningScan<Number>& s;
    Workspace<A> w;
    int64_t ldx, ldy;
};

template <class A> void clear(LightningScan<typename A::Number>& s) {
    const int64_t floats = rounded_up(s.N, A::kPanel) * s.K;
    for (int64_t i = 0; i < floats; ++i) s.state[i] = 0;
}

template <class A> void scan(LightningScan<typename A::Number>& s) {
    const FlushDenormals flush;
    const Scan<A> scan(s);
    if (!s.fresh && s.out) A::make_operand(scan.operand(), s.state, s.K, s.N);
    for (int64_t t = 0; t < s.tokens; t += kChunk) {
        const int64_t m = smaller(kChunk, s.tokens - t);
        const bool update = s.want_state || t + m < s.tokens;
        if (update && s.fresh) clear<A>(s);
        scan.chunk(t, m, update);
        if (update) s.fresh = false;
    }
}

// Two scans over the same tokens, the state of the second the transpose of the first's.
template <class A>
void scan_pair(LightningScan<typename A::Number>& s, LightningScan<typename A::Number>& other) {
    const FlushDenormals flush;
    const Scan<A> scan(s), second(other);
    if (!s.fresh) A::make_operand(scan.operand(), s.state, s.K, s.N);
    for (int64_t t = 0; t < s.tokens; t += kChunk) {
        const int64_t m = smaller(kChunk, s.tokens - t);
        const bool update = s.want_state || t + m < s.tokens;
        other.fresh = s.fresh;
        if (!s.fresh) A::transpose_state(second.operand(), s.state, s.K, s.N);
        second.chunk(t, m, false);
        if (update && s.fresh) clear<A>(s);
        scan.chunk(t, m, update);
        if (update) s.fresh = false;
    }
}

// ---- the state ----

template <int kBytes>
void load_state(float* panels, const float* from, int64_t stride, int64_t K, int64_t N) {
    pack_panels<float, kBytes>(panels, from, stride, K, N);
}

template <int kBytes>
void load_state_transposed(float* panels, const float* from, int64_t stride, int64_t K, int64_t N) {
    pack_transposed<float, kBytes>(panels, K, from, stride, N, K);
}

template <int kBytes>
void store_state(float* to, int64_t stride, const float* panels, int64_t K, int64_t N) {
    constexpr int64_t kPanel = 2 * Vectors<kBytes>::kLanes;
    for (int64_t n = 0; n < N; n += kPanel)
        for (int64_t d = 0; d < K; ++d)
            unpack_row(to + d * stride + n, panels + n * K + d * kPanel, smaller(kPanel, N - n));
}

// Half: the arithmetic of bf16 tensors.
template <int kBytes, class Half = F32<bf16, kBytes>>
constexpr LightningLoops table(const char* name) {
    return {
        .name = name,
        .panel = 2 * Vectors<kBytes>::kLanes,
        .workspace_f32 = Workspace<F32<float, kBytes>>::size,
        .workspace_bf16 = Workspace<Half>::size,
        .scan_f32 = scan<F32<float, kBytes>>,
        .scan_bf16 = scan<Half>,
        .pair_f32 = scan_pair<F32<float, kBytes>>,
        .pair_bf16 = scan_pair<Half>,
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
