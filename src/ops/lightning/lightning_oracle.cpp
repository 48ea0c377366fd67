// The recurrence itself, token by token: the definition that every other path is tested against.
#include "ops/lightning/lightning_cpu.h"

#include <cmath>
#include <vector>

namespace tnl {
namespace {

template <class T> T* row(const Tensor& t, const SequenceRange& r, int64_t token, int64_t head) {
    return t.as<T>() + r.row * t.stride[0] + (r.begin + token) * t.stride[1] + head * t.stride[2];
}

// Of a head among the states; negative: none.
int64_t state_index(const Tensor& slots, const LightningShape& shape, int64_t sequence,
                    int64_t head) {
    const int64_t slot = state_of_sequence(slots, sequence);
    return slot < 0 ? -1 : slot * shape.H + head;
}

template <class A> void load_state(std::vector<A>& state, const Tensor& from, int64_t index) {
    const size_t n = state.size();
    for (size_t i = 0; i < n; ++i)
        state[i] =
            from.rank && index >= 0 ? from.as<A>()[static_cast<size_t>(index) * n + i] : A(0);
}

template <class A> void store_state(const std::vector<A>& state, const Tensor& to, int64_t index) {
    if (!to.rank || index < 0) return;
    const size_t n = state.size();
    for (size_t i = 0; i < n; ++i) to.as<A>()[static_cast<size_t>(index) * n + i] = state[i];
}

// S = lambda S + k^T v, for one token.
template <class A, class T>
void update(std::vector<A>& S, A lambda, const T* k, const T* v, int64_t D, int64_t E) {
    for (int64_t d = 0; d < D; ++d)
        for (int64_t e = 0; e < E; ++e) {
            A& s = S[static_cast<size_t>(d * E + e)];
            s = lambda * s + static_cast<A>(k[d]) * static_cast<A>(v[e]);
        }
}

template <class T>
void forward_head(const LightningForward& call, const LightningShape& shape, int64_t sequence,
                  int64_t head) {
    using A = Accumulator<T>;
    const auto [D, E] = std::pair(shape.D, shape.E);
    const SequenceRange r = sequence_range(shape, call.cu_seqlens, sequence);
    const A lambda = std::exp(-call.slopes.as<A>()[head]), scale = static_cast<A>(call.scale);
    std::vector<A> S(static_cast<size_t>(D * E)), o(static_cast<size_t>(E));
    const int64_t state = state_index(call.slots, shape, sequence, head);
    load_state(S, call.state_in, state);
    for (int64_t t = 0; t < r.length; ++t) {
        update(S, lambda, row<T>(call.k, r, t, head), row<T>(call.v, r, t, head), D, E);
        const T* q = row<T>(call.q, r, t, head);
        o.assign(o.size(), A(0));
        for (int64_t d = 0; d < D; ++d)
            for (int64_t e = 0; e < E; ++e)
                o[static_cast<size_t>(e)] +=
                    static_cast<A>(q[d]) * S[static_cast<size_t>(d * E + e)];
        T* out = row<T>(call.o, r, t, head);
        for (int64_t e = 0; e < E; ++e) out[e] = T(scale * o[static_cast<size_t>(e)]);
    }
    store_state(S, call.state_out, state);
}

// dq_t = scale * S_t do_t: a forward scan.
template <class T>
void backward_queries(const LightningBackward& call, const LightningShape& shape, int64_t sequence,
                      int64_t head) {
    using A = Accumulator<T>;
    const auto [D, E] = std::pair(shape.D, shape.E);
    const SequenceRange r = sequence_range(shape, call.cu_seqlens, sequence);
    const A lambda = std::exp(-call.slopes.as<A>()[head]), scale = static_cast<A>(call.scale);
    std::vector<A> S(static_cast<size_t>(D * E));
    load_state(S, call.state_in, state_index(call.slots, shape, sequence, head));
    for (int64_t t = 0; t < r.length; ++t) {
        update(S, lambda, row<T>(call.k, r, t, head), row<T>(call.v, r, t, head), D, E);
        const T* dout = row<T>(call.dout, r, t, head);
        T* dq = row<T>(call.dq, r, t, head);
        for (int64_t d = 0; d < D; ++d) {
            A sum = 0;
            for (int64_t e = 0; e < E; ++e)
                sum += S[static_cast<size_t>(d * E + e)] * static_cast<A>(dout[e]);
            dq[d] = T(scale * sum);
        }
    }
}

// G_t = dL/dS_t = lambda G_{t+1} + scale q_t^T do_t: a reverse scan; dk_t = G_t v_t, dv_t = k_t
// G_t.
template <class T>
void backward_keys(const LightningBackward& call, const LightningShape& shape, int64_t sequence,
                   int64_t head) {
    using A = Accumulator<T>;
    const auto [D, E] = std::pair(shape.D, shape.E);
    const SequenceRange r = sequence_range(shape, call.cu_seqlens, sequence);
    const A lambda = std::exp(-call.slopes.as<A>()[head]), scale = static_cast<A>(call.scale);
    std::vector<A> G(static_cast<size_t>(D * E)), sum(static_cast<size_t>(E));
    const int64_t state = state_index(call.slots, shape, sequence, head);
    load_state(G, call.dstate_out, state);
    for (int64_t t = r.length - 1; t >= 0; --t) {
        const T *q = row<T>(call.q, r, t, head), *k = row<T>(call.k, r, t, head);
        const T *v = row<T>(call.v, r, t, head), *dout = row<T>(call.dout, r, t, head);
        T *dk = row<T>(call.dk, r, t, head), *dv = row<T>(call.dv, r, t, head);
        sum.assign(sum.size(), A(0));
        for (int64_t d = 0; d < D; ++d) {
            const A q_d = scale * static_cast<A>(q[d]), k_d = static_cast<A>(k[d]);
            A dot = 0;
            for (int64_t e = 0; e < E; ++e) {
                A& g = G[static_cast<size_t>(d * E + e)];
                g += q_d * static_cast<A>(dout[e]);
                dot += g * static_cast<A>(v[e]);
                sum[static_cast<size_t>(e)] += k_d * g;
                g *= lambda; // what token t-1 will see
            }
            dk[d] = T(dot);
        }
        for (int64_t e = 0; e < E; ++e) dv[e] = T(sum[static_cast<size_t>(e)]);
    }
    store_state(G, call.dstate_in, state);
}

template <class F> void for_each_head(Stream& stream, const LightningShape& shape, F&& f) {
    stream.threads->parallel_for(shape.sequences * shape.H, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) f(i / shape.H, i % shape.H);
    });
}

} // namespace

void lightning_forward_oracle(Stream& stream, const LightningForward& call) {
    const LightningShape shape = check(call);
    dispatch_float(shape.dtype, [&]<class T>() {
        for_each_head(stream, shape,
                      [&](int64_t i, int64_t h) { forward_head<T>(call, shape, i, h); });
    });
}

void lightning_backward_oracle(Stream& stream, const LightningBackward& call) {
    const LightningShape shape = check(call);
    dispatch_float(shape.dtype, [&]<class T>() {
        for_each_head(stream, shape, [&](int64_t i, int64_t h) {
            backward_queries<T>(call, shape, i, h);
            backward_keys<T>(call, shape, i, h);
        });
    });
}

} // namespace tnl
