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
            const A d = gradient.x[j] * k.gradient_scale;
            first.x[j] = k.beta1 * first.x[j] + k.rest1 * d;
            second.x[j] = k.beta2 * second.x[j] + k.rest2 * d * d;
            w.x[j] = k.keep * w.x[j] -
                     k.rate * first.x[j] / (sqrt(second.x[j]) * k.inverse_sqrt_correction2 + k.eps);
            out.x[j] = from_acc<T>(w.x[j]);
        }
        store_pack(m + i, first);
        store_pack(v + i, second);
        store_pack(master + i, w);
        store_pack(weights + i, out);
    }
};

} // namespace

void adamw(Stream& s, Tensor weights, Tensor master, Tensor m, Tensor v, Tensor g, const AdamW& a) {
    check_adamw(weights, master, m, v, g, a);
    CudaStream& stream = cuda_of(s);
    const int64_t n = weights.size();
    const auto flat = [n](const Tensor& x) { return x.reshape({n}); };
    const Tensor all[] = {flat(weights), flat(master), flat(m), flat(v), flat(g)};
    const Layout layout({&all[0], &all[1], &all[2], &all[3], &all[4]});
    const AdamWStep step(a);
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
