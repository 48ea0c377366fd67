#include "ops/norm/norm.h"

#include "ops/columns.cuh"
#include "ops/norm/norm_rows.cuh"

namespace tnl::cuda {
namespace {

template <class T> struct NormForward {
    DeviceRows<T> y, x;
    AccOf<T>* stats; // or null
    int64_t stats_stride, rows, cols;
    const T *weight, *bias; // or null
    AccOf<T> eps;
    bool centred;
};

template <class T, int V>
__global__ void __launch_bounds__(kNormThreads) norm_forward_kernel(NormForward<T> p) {
    using A = AccOf<T>;
    const int64_t row = norm_row(p.rows);
    if (row < 0) return;
    const T* x = p.x.row(row);
    Pack<T, V> a[kPacks<V>];
    each_pack<V>(p.cols, [&](int n, int c) { a[n] = load_pack<V>(x + c); });
    const A size = static_cast<A>(p.cols);
    A mean = 0, square = 0;
    if (p.centred) {
        each_pack<V>(p.cols, [&](int n, int) {
            for (int i = 0; i < V; ++i) mean += to_acc(a[n].x[i]);
        });
        mean = row_sum(mean) / size;
    }
    each_pack<V>(p.cols, [&](int n, int) {
        for (int i = 0; i < V; ++i)
            square += (to_acc(a[n].x[i]) - mean) * (to_acc(a[n].x[i]) - mean);
    });
    const A rstd = A{1} / sqrt(row_sum(square) / size + p.eps);
    T* y = p.y.row(row);
    each_pack<V>(p.cols, [&](int n, int c) {
        for (int i = 0; i < V; ++i) {
            A value = (to_acc(a[n].x[i]) - mean) * rstd;
            if (p.weight) value *= to_acc(p.weight[c + i]);
            if (p.bias) value += to_acc(p.bias[c + i]);
            a[n].x[i] = from_acc<T>(value);
        }
        store_pack(y + c, a[n]);
    });
    if (p.stats && threadIdx.x == 0) {
        p.stats[row * p.stats_stride] = mean;
        p.stats[row * p.stats_stride + 1] = rstd;
    }
}

template <class T> struct NormBackward {
    DeviceRows<T> dx, dy, x;
    const AccOf<T>* stats;
    int64_t stats_stride, rows, cols;
    const T* weight; // or null
    bool centred, of_output, accumulate;
};

template <class T, int V>
__global__ void __launch_bounds__(kNormThreads) norm_backward_kernel(NormBackward<T> p) {
    using A = AccOf<T>;
    const int64_t row = norm_row(p.rows);
    if (row < 0) return;
    const T *x = p.x.row(row), *dy = p.dy.row(row);
    T* dx = p.dx.row(row);
    Pack<T, V> a[kPacks<V>], b[kPacks<V>], d[kPacks<V>];
    each_pack<V>(p.cols, [&](int n, int c) {
        a[n] = load_pack<V>(x + c);
        b[n] = load_pack<V>(dy + c);
        if (p.accumulate) d[n] = load_pack<V>(dx + c);
    });
    const A mean = p.stats[row * p.stats_stride], rstd = p.stats[row * p.stats_stride + 1];
    const A spread = p.of_output ? A{1} : rstd; // z = (x - mean) spread
    A sum_g = 0, sum_gz = 0;
    each_pack<V>(p.cols, [&](int n, int c) {
        for (int i = 0; i < V; ++i) {
            const A g = to_acc(b[n].x[i]) * (p.weight ? to_acc(p.weight[c + i]) : A{1});
            sum_g += g;
            sum_gz += g * ((to_acc(a[n].x[i]) - mean) * spread);
        }
    });
    const A size = static_cast<A>(p.cols);
    const A mean_g = p.centred ? row_sum(sum_g) / size : A{0};
    const A mean_gz = row_sum(sum_gz) / size;
    each_pack<V>(p.cols, [&](int n, int c) {
        for (int i = 0; i < V; ++i) {
            const A g = to_acc(b[n].x[i]) * (p.weight ? to_acc(p.weight[c + i]) : A{1});
            const A value = rstd * (g - mean_g - (to_acc(a[n].x[i]) - mean) * spread * mean_gz);
            d[n].x[i] = from_acc<T>(p.accumulate ? to_acc(d[n].x[i]) + value : value);
        }
        store_pack(dx + c, d[n]);
    });
}

// dy z, summed over rows the gradient of the weight.
template <class T> struct WeightGradient {
    DeviceRows<T> dy, x;
    const AccOf<T>* stats;
    int64_t stats_stride;
    __device__ AccOf<T> operator()(int64_t r, int64_t c) const {
        const AccOf<T>* s = stats + r * stats_stride;
        return to_acc(dy.row(r)[c]) * ((to_acc(x.row(r)[c]) - s[0]) * s[1]);
    }
};
template <class T> struct BiasGradient {
    DeviceRows<T> dy;
    __device__ AccOf<T> operator()(int64_t r, int64_t c) const { return to_acc(dy.row(r)[c]); }
};

} // namespace

void norm_forward(Stream& s, Tensor y, Tensor stats, Tensor x, NormKind kind, NormWeights weights,
                  float eps) {
    check_norm_forward(y, stats, x, kind, weights);
    CudaStream& stream = cuda_of(s);
    const Layout layout({&x, &y}, true);
    const int64_t C = layout.cols();
    dispatch_float(x.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        NormForward<D> p{};
        p.y = device_rows<T>(layout, y);
        p.x = device_rows<T>(layout, x);
        p.stats = device_data<Accumulator<T>>(stats);
        p.stats_stride = stats.data ? stats.stride[0] : 0;
        p.rows = layout.rows();
        p.cols = C;
        p.weight = kind == NormKind::srms ? nullptr : row_vector<T>(weights.weight, C, "weight");
        p.bias = kind == NormKind::layer ? row_vector<T>(weights.bias, C, "bias") : nullptr;
        p.eps = eps;
        p.centred = kind == NormKind::layer;
        with_packs<D>(layout, [&](auto v) {
            const NormGrid g = norm_grid<D, v()>(layout.rows(), C);
            launch(stream, norm_forward_kernel<D, v()>, g.grid, g.block, 0, p);
        });
    });
}

void norm_backward(Stream& s, Tensor dx, NormWeights dweights, Tensor dy, Tensor x, Tensor stats,
                   NormKind kind, NormWeights weights, bool of_output, bool accumulate) {
    check_norm_backward(dx, dweights, dy, x, stats, kind, weights, of_output);
    CudaStream& stream = cuda_of(s);
    const Layout layout({&x, &dy, &dx}, true);
    const int64_t C = layout.cols();
    dispatch_float(x.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        using A = Accumulator<T>;
        NormBackward<D> p{};
        p.dx = device_rows<T>(layout, dx);
        p.dy = device_rows<T>(layout, dy);
        p.x = device_rows<T>(layout, x);
        p.stats = device_data<A>(stats);
        p.stats_stride = stats.stride[0];
        p.rows = layout.rows();
        p.cols = C;
        p.weight = kind == NormKind::srms ? nullptr : row_vector<T>(weights.weight, C, "weight");
        p.centred = kind == NormKind::layer;
        p.of_output = of_output;
        p.accumulate = accumulate;
        // First the weights: dx may be dy itself.
        if (kind != NormKind::srms && dweights.weight.data)
            add_column_sums(stream, row_vector<A>(dweights.weight, C, "dweight"), layout.rows(), C,
                            WeightGradient<D>{p.dy, p.x, p.stats, p.stats_stride});
        if (kind == NormKind::layer && dweights.bias.data)
            add_column_sums(stream, row_vector<A>(dweights.bias, C, "dbias"), layout.rows(), C,
                            BiasGradient<D>{p.dy});
        with_packs<D>(layout, [&](auto v) {
            const NormGrid g = norm_grid<D, v()>(layout.rows(), C);
            launch(stream, norm_backward_kernel<D, v()>, g.grid, g.block, 0, p);
        });
    });
}

} // namespace tnl::cuda
