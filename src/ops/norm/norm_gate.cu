// SimpleRMSNorm and a gate on it, the end of every token mixer, in one pass over memory each way.
#include "ops/act/act.cuh"
#include "ops/norm/norm.h"
#include "ops/norm/norm_rows.cuh"

namespace tnl::cuda {
namespace {

template <class T> struct GateForward {
    DeviceRows<T> y, x, g;
    AccOf<T>* stats; // or null
    int64_t stats_stride, rows, cols;
    AccOf<T> eps;
    Activation act;
};
template <class T> struct GateBackward {
    DeviceRows<T> dx, dg, y, dy, x, g; // y: null where absent
    const AccOf<T>* stats;
    int64_t stats_stride, rows, cols;
    Activation act;
};

// What exp takes off: the maximum of the row.
template <class T, int V>
__device__ AccOf<T> shift_of(Activation act, const Pack<T, V> (&g)[kPacks<V>], int64_t cols) {
    using A = AccOf<T>;
    if (act != Activation::exp) return A{0};
    A best = -INFINITY;
    each_pack<V>(cols, [&](int n, int) {
        for (int i = 0; i < V; ++i) best = best < to_acc(g[n].x[i]) ? to_acc(g[n].x[i]) : best;
    });
    return blockDim.x == kWarp ? warp_max(best) : block_max(best);
}

template <class T, int V>
__global__ void __launch_bounds__(kNormThreads) srms_gate_forward_kernel(GateForward<T> p) {
    using A = AccOf<T>;
    const int64_t row = norm_row(p.rows);
    if (row < 0) return;
    const T *x = p.x.row(row), *from = p.g.row(row);
    Pack<T, V> a[kPacks<V>], g[kPacks<V>];
    each_pack<V>(p.cols, [&](int n, int c) {
        a[n] = load_pack<V>(x + c);
        g[n] = load_pack<V>(from + c);
    });
    A square = 0;
    each_pack<V>(p.cols, [&](int n, int) {
        for (int i = 0; i < V; ++i) square += to_acc(a[n].x[i]) * to_acc(a[n].x[i]);
    });
    const A rstd = A{1} / sqrt(row_sum(square) / static_cast<A>(p.cols) + p.eps);
    const A shift = shift_of<T, V>(p.act, g, p.cols);
    T* y = p.y.row(row);
    with_activation(p.act, [&](auto act) {
        each_pack<V>(p.cols, [&](int n, int c) {
            for (int i = 0; i < V; ++i)
                a[n].x[i] =
                    from_acc<T>(to_acc(a[n].x[i]) * rstd * act.value(to_acc(g[n].x[i]) - shift));
            store_pack(y + c, a[n]);
        });
    });
    if (p.stats && threadIdx.x == 0) {
        p.stats[row * p.stats_stride] = 0;
        p.stats[row * p.stats_stride + 1] = rstd;
    }
}

// With z = x rstd and s = act(g): dz = dy s, dg = dy z act'(g), dx = rstd (dz - z mean(dz z)).
template <class T, int V>
__global__ void __launch_bounds__(kNormThreads) srms_gate_backward_kernel(GateBackward<T> p) {
    using A = AccOf<T>;
    const int64_t row = norm_row(p.rows);
    if (row < 0) return;
    const T *x = p.x.row(row), *from = p.g.row(row), *dy = p.dy.row(row);
    Pack<T, V> a[kPacks<V>], g[kPacks<V>], d[kPacks<V>];
    each_pack<V>(p.cols, [&](int n, int c) {
        a[n] = load_pack<V>(x + c);
        g[n] = load_pack<V>(from + c);
        d[n] = load_pack<V>(dy + c);
    });
    const A rstd = p.stats[row * p.stats_stride + 1];
    const A shift = shift_of<T, V>(p.act, g, p.cols);
    with_activation(p.act, [&](auto act) {
        A sum = 0;
        each_pack<V>(p.cols, [&](int n, int) {
            for (int i = 0; i < V; ++i)
                sum += to_acc(d[n].x[i]) * act.value(to_acc(g[n].x[i]) - shift) * to_acc(a[n].x[i]);
        });
        const A mean = row_sum(sum) * rstd / static_cast<A>(p.cols);
        T *dx = p.dx.row(row), *dg = p.dg.row(row), *y = p.y ? p.y.row(row) : nullptr;
        each_pack<V>(p.cols, [&](int n, int c) {
            Pack<T, V> again;
            for (int i = 0; i < V; ++i) {
                const A z = to_acc(a[n].x[i]) * rstd, gradient = to_acc(d[n].x[i]);
                const A at = to_acc(g[n].x[i]) - shift, s = act.value(at);
                again.x[i] = from_acc<T>(z * s);
                g[n].x[i] = from_acc<T>(gradient * z * act.slope(at));
                d[n].x[i] = from_acc<T>(rstd * (gradient * s - z * mean));
            }
            store_pack(dg + c, g[n]);
            store_pack(dx + c, d[n]);
            if (y) store_pack(y + c, again);
        });
    });
}

} // namespace

void srms_gate_forward(Stream& s, Tensor y, Tensor stats, Tensor x, Tensor g, float eps,
                       Activation act) {
    check_norm_forward(y, stats, x, NormKind::srms, {});
    CudaStream& stream = cuda_of(s);
    const Layout layout({&x, &y, &g}, true);
    dispatch_float(x.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        const GateForward<D> p{device_rows<T>(layout, y),
                               device_rows<T>(layout, x),
                               device_rows<T>(layout, g),
                               device_data<Accumulator<T>>(stats),
                               stats.data ? stats.stride[0] : 0,
                               layout.rows(),
                               layout.cols(),
                               eps,
                               act};
        with_packs<D>(layout, [&](auto v) {
            const NormGrid grid = norm_grid<D, v()>(p.rows, p.cols);
            launch(stream, srms_gate_forward_kernel<D, v()>, grid.grid, grid.block, 0, p);
        });
    });
}

void srms_gate_backward(Stream& s, Tensor dx, Tensor dg, Tensor y, Tensor dy, Tensor x, Tensor g,
                        Tensor stats, Activation act) {
    check_srms_gate_backward(dx, dg, y, dy, x, g, stats);
    CudaStream& stream = cuda_of(s);
    const Layout layout({&x, &g, &dy, &dx, &dg, &y}, true);
    dispatch_float(x.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        const GateBackward<D> p{device_rows<T>(layout, dx),
                                device_rows<T>(layout, dg),
                                device_rows<T>(layout, y),
                                device_rows<T>(layout, dy),
                                device_rows<T>(layout, x),
                                device_rows<T>(layout, g),
                                device_data<Accumulator<T>>(stats),
                                stats.stride[0],
                                layout.rows(),
                                layout.cols(),
                                act};
        with_packs<D>(layout, [&](auto v) {
            const NormGrid grid = norm_grid<D, v()>(p.rows, p.cols);
            launch(stream, srms_gate_backward_kernel<D, v()>, grid.grid, grid.block, 0, p);
        });
    });
}

} // namespace tnl::cuda
