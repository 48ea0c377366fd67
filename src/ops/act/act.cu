#include "ops/act/act.cuh"

#include "cuda/reduce.cuh"
#include "ops/entries_cuda.h"
#include "ops/rows.cuh"

namespace tnl::cuda {
namespace {

// The largest element of each row, one warp a row.
template <class T>
__global__ void __launch_bounds__(256)
    row_max_kernel(AccOf<T>* out, DeviceRows<T> x, int64_t rows, int64_t cols) {
    const int64_t row = int64_t{blockIdx.x} * (256 / kWarp) + threadIdx.x / kWarp;
    if (row >= rows) return;
    const T* p = x.row(row);
    AccOf<T> best = to_acc(p[0]);
    for (int64_t c = threadIdx.x % kWarp; c < cols; c += kWarp) {
        const AccOf<T> value = to_acc(p[c]);
        best = best < value ? value : best;
    }
    best = warp_max(best);
    if (threadIdx.x % kWarp == 0) out[row] = best;
}

// What the activation is applied to: rows of x, less their maximum if the activation is exp.
template <class T> struct Argument {
    DeviceRows<T> x;
    const AccOf<T>* max; // [rows] or null
    Activation act;
    __device__ AccOf<T> shift(int64_t row) const { return max ? max[row] : AccOf<T>{0}; }
};

template <class T>
Argument<DeviceType<T>> argument(CudaStream& stream, const Layout& layout, const Tensor& x,
                                 Activation act) {
    using D = DeviceType<T>;
    Argument<D> a{device_rows<T>(layout, x), nullptr, act};
    if (act != Activation::exp || layout.rows() * layout.cols() == 0) return a;
    auto* max = static_cast<AccOf<D>*>(
        stream.scratch(static_cast<size_t>(layout.rows()) * sizeof(AccOf<D>)));
    launch(stream, row_max_kernel<D>, dim3(blocks_for(layout.rows(), 256 / kWarp)), dim3(256), 0,
           max, a.x, layout.rows(), layout.cols());
    a.max = max;
    return a;
}

template <class T, int V> struct ActForward {
    DeviceRows<T> y;
    Argument<T> x;
    __device__ void operator()(RowIndex r, int64_t c) const {
        auto p = load_pack<V>(x.x.row(r) + c);
        const AccOf<T> shift = x.shift(r);
        with_activation(x.act, [&](auto act) {
            for (int i = 0; i < V; ++i) p.x[i] = from_acc<T>(act.value(to_acc(p.x[i]) - shift));
        });
        store_pack(y.row(r) + c, p);
    }
};

template <class T, int V> struct ActBackward {
    DeviceRows<T> dx, dy;
    Argument<T> x;
    __device__ void operator()(RowIndex r, int64_t c) const {
        auto p = load_pack<V>(x.x.row(r) + c);
        const auto d = load_pack<V>(dy.row(r) + c);
        const AccOf<T> shift = x.shift(r);
        with_activation(x.act, [&](auto act) {
            for (int i = 0; i < V; ++i)
                p.x[i] = from_acc<T>(to_acc(d.x[i]) * act.slope(to_acc(p.x[i]) - shift));
        });
        store_pack(dx.row(r) + c, p);
    }
};

template <class T, int V> struct GateForward {
    DeviceRows<T> y, a;
    Argument<T> g;
    __device__ void operator()(RowIndex r, int64_t c) const {
        auto p = load_pack<V>(g.x.row(r) + c);
        const auto q = load_pack<V>(a.row(r) + c);
        const AccOf<T> shift = g.shift(r);
        with_activation(g.act, [&](auto act) {
            for (int i = 0; i < V; ++i)
                p.x[i] = from_acc<T>(to_acc(q.x[i]) * act.value(to_acc(p.x[i]) - shift));
        });
        store_pack(y.row(r) + c, p);
    }
};

template <class T, int V> struct GateBackward {
    DeviceRows<T> da, dg, y, dy, a; // y: null where absent
    Argument<T> g;
    __device__ void operator()(RowIndex r, int64_t c) const {
        auto pg = load_pack<V>(g.x.row(r) + c);
        auto pa = load_pack<V>(a.row(r) + c);
        const auto d = load_pack<V>(dy.row(r) + c);
        Pack<T, V> again;
        const AccOf<T> shift = g.shift(r);
        with_activation(g.act, [&](auto act) {
            for (int i = 0; i < V; ++i) {
                const AccOf<T> x = to_acc(pg.x[i]) - shift, gradient = to_acc(d.x[i]);
                const AccOf<T> value = act.value(x), factor = to_acc(pa.x[i]);
                again.x[i] = from_acc<T>(factor * value);
                pg.x[i] = from_acc<T>(gradient * factor * act.slope(x));
                pa.x[i] = from_acc<T>(gradient * value);
            }
        });
        if (y) store_pack(y.row(r) + c, again);
        store_pack(da.row(r) + c, pa);
        store_pack(dg.row(r) + c, pg);
    }
};

// exp takes the maximum over the last dimension, so rows must not be merged.
bool by_row(Activation act) { return act == Activation::exp; }

} // namespace

void act_forward(Stream& s, Tensor y, Tensor x, Activation act) {
    CudaStream& stream = cuda_of(s);
    const Layout layout({&x, &y}, by_row(act));
    dispatch_float(x.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        const auto argument_x = argument<T>(stream, layout, x, act);
        map_rows<kVec<D>>(stream, layout, [&](auto v) {
            return ActForward<D, v()>{device_rows<T>(layout, y), argument_x};
        });
    });
}

void act_backward(Stream& s, Tensor dx, Tensor dy, Tensor x, Activation act) {
    CudaStream& stream = cuda_of(s);
    const Layout layout({&x, &dy, &dx}, by_row(act));
    dispatch_float(x.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        const auto argument_x = argument<T>(stream, layout, x, act);
        map_rows<kVec<D>>(stream, layout, [&](auto v) {
            return ActBackward<D, v()>{device_rows<T>(layout, dx), device_rows<T>(layout, dy),
                                       argument_x};
        });
    });
}

void gate_forward(Stream& s, Tensor y, Tensor a, Tensor g, Activation act) {
    CudaStream& stream = cuda_of(s);
    const Layout layout({&a, &g, &y}, by_row(act));
    dispatch_float(a.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        const auto argument_g = argument<T>(stream, layout, g, act);
        map_rows<kVec<D>>(stream, layout, [&](auto v) {
            return GateForward<D, v()>{device_rows<T>(layout, y), device_rows<T>(layout, a),
                                       argument_g};
        });
    });
}

void gate_backward(Stream& s, Tensor da, Tensor dg, Tensor y, Tensor dy, Tensor a, Tensor g,
                   Activation act) {
    CudaStream& stream = cuda_of(s);
    const Layout layout({&a, &g, &dy, &da, &dg, &y}, by_row(act));
    dispatch_float(a.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        const auto argument_g = argument<T>(stream, layout, g, act);
        map_rows<kVec<D>>(stream, layout, [&](auto v) {
            return GateBackward<D, v()>{device_rows<T>(layout, da), device_rows<T>(layout, dg),
                                        device_rows<T>(layout, y),  device_rows<T>(layout, dy),
                                        device_rows<T>(layout, a),  argument_g};
        });
    });
}

} // namespace tnl::cuda
