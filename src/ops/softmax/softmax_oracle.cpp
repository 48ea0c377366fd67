#include "ops/rows.h"
#include "ops/softmax/softmax.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tnl::oracle {
namespace {

template <class T> T* row(const Tensor& t, const SoftmaxSequence& s, int64_t token, int64_t head) {
    return t.as<T>() + s.row * t.stride[0] + (s.begin + token) * t.stride[1] + head * t.stride[2];
}

template <class A>
A& lse_at(const Tensor& lse, const SoftmaxSequence& s, int64_t token, int64_t head) {
    return lse.as<A>()[s.row * lse.stride[0] + (s.begin + token) * lse.stride[1] + head];
}

template <class A, class T> A dot(const T* a, const T* b, int64_t n) {
    A sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += static_cast<A>(a[i]) * static_cast<A>(b[i]);
    return sum;
}

template <class T>
void forward_head(const SoftmaxForward& call, const SoftmaxShape& shape, const SoftmaxSequence& s,
                  int64_t h) {
    using A = Accumulator<T>;
    const int64_t D = shape.D, kv = h / (shape.H / shape.K);
    std::vector<A> p(static_cast<size_t>(s.length)), sum(static_cast<size_t>(D));
    for (int64_t i = 0; i < s.length; ++i) {
        A max = -INFINITY, total = 0;
        const auto end = p.begin() + i + 1;
        for (int64_t j = 0; j <= i; ++j)
            max = std::max(max, p[static_cast<size_t>(j)] =
                                    static_cast<A>(call.scale) *
                                    dot<A>(row<T>(call.q, s, i, h), row<T>(call.k, s, j, kv), D));
        for (auto x = p.begin(); x != end; ++x) total += * x = std::exp(*x - max);
        std::fill(sum.begin(), sum.end(), A(0));
        for (int64_t j = 0; j <= i; ++j) {
            const T* v = row<T>(call.v, s, j, kv);
            for (int64_t d = 0; d < D; ++d)
                sum[static_cast<size_t>(d)] += p[static_cast<size_t>(j)] * static_cast<A>(v[d]);
        }
        T* o = row<T>(call.o, s, i, h);
        for (int64_t d = 0; d < D; ++d) o[d] = T(sum[static_cast<size_t>(d)] / total);
        lse_at<A>(call.lse, s, i, h) = max + std::log(total);
    }
}

// Of one head of k and v: all heads of q that read it.
template <class T>
void backward_head(const SoftmaxBackward& call, const SoftmaxShape& shape, const SoftmaxSequence& s,
                   int64_t kv) {
    using A = Accumulator<T>;
    const int64_t D = shape.D, group = shape.H / shape.K;
    const auto size = static_cast<size_t>(s.length * D);
    std::vector<A> dk(size), dv(size), dq(static_cast<size_t>(D));
    for (int64_t h = kv * group; h < (kv + 1) * group; ++h)
        for (int64_t i = 0; i < s.length; ++i) {
            const T *q = row<T>(call.q, s, i, h), *dout = row<T>(call.dout, s, i, h);
            const A delta = dot<A>(dout, row<T>(call.o, s, i, h), D);
            const A lse = lse_at<A>(call.lse, s, i, h), scale = static_cast<A>(call.scale);
            std::fill(dq.begin(), dq.end(), A(0));
            for (int64_t j = 0; j <= i; ++j) {
                const T* k = row<T>(call.k, s, j, kv);
                const A p = std::exp(scale * dot<A>(q, k, D) - lse);
                const A ds = scale * p * (dot<A>(dout, row<T>(call.v, s, j, kv), D) - delta);
                for (int64_t d = 0; d < D; ++d) {
                    const auto at = static_cast<size_t>(j * D + d);
                    dq[static_cast<size_t>(d)] += ds * static_cast<A>(k[d]);
                    dk[at] += ds * static_cast<A>(q[d]);
                    dv[at] += p * static_cast<A>(dout[d]);
                }
            }
            T* out = row<T>(call.dq, s, i, h);
            for (int64_t d = 0; d < D; ++d) out[d] = T(dq[static_cast<size_t>(d)]);
        }
    for (int64_t j = 0; j < s.length; ++j)
        for (int64_t d = 0; d < D; ++d) {
            row<T>(call.dk, s, j, kv)[d] = T(dk[static_cast<size_t>(j * D + d)]);
            row<T>(call.dv, s, j, kv)[d] = T(dv[static_cast<size_t>(j * D + d)]);
        }
}

} // namespace

void softmax_forward(Stream& stream, const SoftmaxForward& call) {
    const SoftmaxShape shape = check(call);
    dispatch_float(shape.dtype, [&]<class T>() {
        stream.threads->parallel_for(shape.sequences * shape.H, 1, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
                forward_head<T>(call, shape, sequence_of(shape, call.cu_seqlens, i / shape.H),
                                i % shape.H);
        });
    });
}

void softmax_backward(Stream& stream, const SoftmaxBackward& call) {
    const SoftmaxShape shape = check(call);
    dispatch_float(shape.dtype, [&]<class T>() {
        stream.threads->parallel_for(shape.sequences * shape.K, 1, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
                backward_head<T>(call, shape, sequence_of(shape, call.cu_seqlens, i / shape.K),
                                 i % shape.K);
        });
    });
}

} // namespace tnl::oracle
