#include "ops/adam/adam.h"
#include "ops/entries_cuda.h"
#include "ops/rows.cuh"

namespace tnl::cuda {
namespace {

template <class A> struct Constants { // AdamWStep in the type of the sums
    A beta1, beta2, rest1, rest2, eps, gradient_scale, keep, rate, inverse_sqrt_correction2;
    explicit Constants(const AdamWStep& s)
        : beta1(static_cast<A>(s.beta1)), beta2(static_cast<A>(s.beta2)),
          rest1(static_cast<A>(1 - s.beta1)), rest2(static_cast<A>(1 - s.beta2)),
          eps(static_cast<A>(s.eps)), gradient_scale(static_cast<A>(s.gradient_scale)),
          keep(static_cast<A>(s.keep)), rate(static_cast<A>(s.rate)),
          inverse_sqrt_correction2(static_cast<A>(s.inverse_sqrt_correction2)) {}
};

// The new weight, given what it was; m and v are replaced.
template <class A> __device__ A updated(const Constants<A>& k, A weight, A& m, A& v, A gradient) {
    const A d = gradient * k.gradient_scale;
    m = k.beta1 * m + k.rest1 * d;
    v = k.beta2 * v + k.rest2 * d * d;
    return k.keep * weight - k.rate * m / (sqrt(v) * k.inverse_sqrt_correction2 + k.eps);
}

template <class T, int V> struct AdamWUpdate {
    using A = AccOf<T>;
    T* weights; // may be master
    A *master, *m, *v;
    const A* g;
    Constants<A> k;

    __device__ void operator()(int64_t, int64_t i) const {
        auto w = load_pack<V>(master + i), first = load_pack<V>(m + i),
             second = load_pack<V>(v + i);
        const auto gradient = load_pack<V>(g + i);
        Pack<T, V> out;
        for (int j = 0; j < V; ++j) {
            w.x[j] = updated(k, w.x[j], first.x[j], second.x[j], gradient.x[j]);
            out.x[j] = from_acc<T>(w.x[j]);
        }
        store_pack(m + i, first);
        store_pack(v + i, second);
        store_pack(master + i, w);
        store_pack(weights + i, out);
    }
};

// Without a master: the only weights are bf16, rounded at random.
template <int V> struct AdamWStochastic {
    __nv_bfloat16* weights;
    float *m, *v;
    const float* g;
    Constants<float> k;
    int64_t step, begin; // of this update; the range's place

    __device__ void operator()(int64_t, int64_t i) const {
        auto w = load_pack<V>(weights + i);
        auto first = load_pack<V>(m + i), second = load_pack<V>(v + i);
        const auto gradient = load_pack<V>(g + i);
        StochasticRounding rounding(step);
        for (int j = 0; j < V; ++j) {
            const float value = updated(k, to_acc(w.x[j]), first.x[j], second.x[j], gradient.x[j]);
            w.x[j] = __ushort_as_bfloat16(rounding.bits(value, begin + i + j));
        }
        store_pack(m + i, first);
        store_pack(v + i, second);
        store_pack(weights + i, w);
    }
};

} // namespace

void adamw(Stream& s, Tensor weights, Tensor master, Tensor m, Tensor v, Tensor g, const AdamW& a) {
    check_adamw(weights, master, m, v, g, a);
    CudaStream& stream = cuda_of(s);
    const int64_t n = weights.size();
    const auto flat = [n](const Tensor& x) { return x.reshape({n}); };
    const Tensor all[] = {flat(weights), flat(master.data ? master : m), flat(m), flat(v), flat(g)};
    const Layout layout({&all[0], &all[1], &all[2], &all[3], &all[4]});
    const AdamWStep step(a);
    if (!master.data) {
        map_rows<kVec<float>>(stream, layout, [&](auto width) {
            return AdamWStochastic<width()>{
                device_data<bf16>(weights), m.as<float>(), v.as<float>(), g.as<float>(),
                Constants<float>(step),     a.step,        a.first};
        });
        return;
    }
    dispatch_float(weights.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        using A = Accumulator<T>;
        constexpr int kWidest = kVec<A>;
        map_rows<kWidest>(stream, layout, [&](auto width) {
            return AdamWUpdate<D, width()>{
                device_data<T>(weights), master.as<A>(), m.as<A>(), v.as<A>(), g.as<A>(),
                Constants<A>(step)};
        });
    });
}

} // namespace tnl::cuda
