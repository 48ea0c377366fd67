// Lightning Attention of one token for lightning_loops.h; like it, all in an unnamed namespace.
#pragma once

#include "ops/lightning/lightning_f32.h"

namespace tnl {
namespace {
namespace lightning {

// kVectors vectors of columns of the state, read and written once.
template <int kBytes, int kVectors, bool kRead, bool kWrite>
[[gnu::always_inline]] inline void
step_columns(float* o, const float* in, float* out, int64_t stride, const float* q, const float* k,
             const float* v, int64_t K, float keep, float change) {
    using V = Vectors<kBytes>;
    typename V::Float sums[kVectors] = {};
    for (int64_t d = 0; d < K; ++d) {
#pragma GCC unroll 8
        for (int u = 0; u < kVectors; ++u) {
            auto s = k[d] * V::load(v + u * V::kLanes);
            if (kRead) {
                const auto old = V::load(in + d * stride + u * V::kLanes);
                s += change * old; // the small ones first: alone, they would be lost in the state
                s += keep * old;
            }
            if (kWrite) put(out + d * stride + u * V::kLanes, s);
            sums[u] += q[d] * s;
        }
    }
    for (int u = 0; u < kVectors; ++u) put(o + u * V::kLanes, sums[u]);
}

template <int kBytes, bool kRead, bool kWrite>
void step_state(float* o, const float* in, float* out, int64_t stride, const float* q,
                const float* k, const float* v, int64_t K, int64_t N, float keep, float change) {
    constexpr int64_t kLanes = Vectors<kBytes>::kLanes;
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
            if (kRead) s = (s + change * in[d * stride + n]) + keep * in[d * stride + n];
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

} // namespace lightning
} // namespace
} // namespace tnl
