#include "ops/norm/norm.h"

#include "cuda/reduce.cuh"
#include "ops/columns.cuh"
#include "ops/entries_cuda.h"
#include "ops/rows.cuh"

namespace tnl::cuda {
namespace {

template <class T> struct NormForward {
    DeviceRows<T> h, y, x, delta; // h, delta: null where absent
    AccOf<T>* stats;              // or null
    int64_t stats_stride, cols;
    const T *weight, *bias; // or null
    AccOf<T> eps;
    bool centred;
};

// One block a row. A thread comes back to the elements that it wrote itself, so h needs no barrier.
template <class T, int V>
__global__ void __launch_bounds__(512) norm_forward_kernel(NormForward<T> p) {
    using A = AccOf<T>;
    const int64_t row = blockIdx.x, step = int64_t{blockDim.x} * V;
    const T* x = p.x.row(row);
    A sum = 0, square = 0;
    if (p.h) {
        T* h = p.h.row(row);
        for (int64_t c = int64_t{threadIdx.x} * V; c < p.cols; c += step) {
            auto a = load_pack<V>(x + c);
            if (p.delta) {
                const auto d = load_pack<V>(p.delta.row(row) + c);
                for (int i = 0; i < V; ++i) a.x[i] = from_acc<T>(to_acc(a.x[i]) + to_acc(d.x[i]));
            }
            store_pack(h + c, a);
        }
        x = h;
    }
    if (p.centred) {
        for (int64_t c = int64_t{threadIdx.x} * V; c < p.cols; c += step) {
            const auto a = load_pack<V>(x + c);
            for (int i = 0; i < V; ++i) sum += to_acc(a.x[i]);
        }
    }
    const A mean = p.centred ? block_sum(sum) / static_cast<A>(p.cols) : A{0};
    for (int64_t c = int64_t{threadIdx.x} * V; c < p.cols; c += step) {
        const auto a = load_pack<V>(x + c);
        for (int i = 0; i < V; ++i) square += (to_acc(a.x[i]) - mean) * (to_acc(a.x[i]) - mean);
    }
    const A rstd = A{1} / sqrt(block_sum(square) / static_cast<A>(p.cols) + p.eps);
    T* y = p.y.row(row);
    for (int64_t c = int64_t{threadIdx.x} * V; c < p.cols; c += step) {
        auto a = load_pack<V>(x + c);
        for (int i = 0; i < V; ++i) {
            A value = (to_acc(a.x[i]) - mean) * rstd;
            if (p.weight) value *= to_acc(p.weight[c + i]);
            if (p.bias) value += to_acc(p.bias[c + i]);
            a.x[i] = from_acc<T>(value);
        }
        store_pack(y + c, a);
    }
    if (p.stats && threadIdx.x == 0) {
        p.stats[row * p.stats_stride] = mean;
        p.stats[row * p.stats_stride + 1] = rstd;
    }
}

template <class T> struct NormBackward {
    DeviceRows<T> dx, dy, x;
    const AccOf<T>* stats;
    int64_t stats_stride, cols;
    const T* weight; // or null
    bool centred, accumulate;
};

template <class T, int V>
__global__ void __launch_bounds__(512) norm_backward_kernel(NormBackward<T> p) {
    using A = AccOf<T>;
    const int64_t row = blockIdx.x, step = int64_t{blockDim.x} * V;
    const T *x = p.x.row(row), *dy = p.dy.row(row);
    T* dx = p.dx.row(row);
    const A mean = p.stats[row * p.stats_stride], rstd = p.stats[row * p.stats_stride + 1];
    A sum_g = 0, sum_gz = 0;
    for (int64_t c = int64_t{threadIdx.x} * V; c < p.cols; c += step) {
        const auto a = load_pack<V>(x + c), b = load_pack<V>(dy + c);
        for (int i = 0; i < V; ++i) {
            const A g = to_acc(b.x[i]) * (p.weight ? to_acc(p.weight[c + i]) : A{1});
            sum_g += g;
            sum_gz += g * ((to_acc(a.x[i]) - mean) * rstd);
        }
    }
    const A n = static_cast<A>(p.cols);
    const A mean_g = p.centred ? block_sum(sum_g) / n : A{0};
    const A mean_gz = block_sum(sum_gz) / n;
    for (int64_t c = int64_t{threadIdx.x} * V; c < p.cols; c += step) {
        const auto a = load_pack<V>(x + c), b = load_pack<V>(dy + c);
        Pack<T, V> d;
        if (p.accumulate) d = load_pack<V>(dx + c);
        for (int i = 0; i < V; ++i) {
            const A g = to_acc(b.x[i]) * (p.weight ? to_acc(p.weight[c + i]) : A{1});
            const A value = rstd * (g - mean_g - (to_acc(a.x[i]) - mean) * rstd * mean_gz);
            d.x[i] = from_acc<T>(p.accumulate ? to_acc(d.x[i]) + value : value);
        }
        store_pack(dx + c, d);
    }
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

// Whole warps, as few as cover the row, at most 512 threads.
unsigned threads_for(int64_t cols, int V) {
    const int64_t wanted = (cols / V + kWarp - 1) / kWarp * kWarp;
    return static_cast<unsigned>(wanted < kWarp ? kWarp : wanted > 512 ? 512 : wanted);
}

// A contiguous vector [C] of T, or null.
template <class T> DeviceType<T>* row_vector(const Tensor& x, int64_t cols, const char* what) {
    if (!x.data) return nullptr;
    TNL_CHECK(x.size() == cols && x.contiguous(), "{} has shape {}, wanted {} contiguous elements",
              what, x.shape_string(), cols);
    return device_data<T>(x);
}

} // namespace

void norm_forward(Stream& s, Tensor h, Tensor y, Tensor stats, Tensor x, Tensor delta,
                  NormKind kind, NormWeights weights, float eps) {
    check_norm_forward(h, y, stats, x, delta, kind, weights);
    CudaStream& stream = cuda_of(s);
    const Layout layout({&x, &h, &y, &delta}, true);
    const int64_t C = layout.cols();
    dispatch_float(x.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        NormForward<D> p{};
        p.h = device_rows<T>(layout, h);
        p.y = device_rows<T>(layout, y);
        p.x = device_rows<T>(layout, x);
        p.delta = device_rows<T>(layout, delta);
        p.stats = device_data<Accumulator<T>>(stats);
        p.stats_stride = stats.data ? stats.stride[0] : 0;
        p.cols = C;
        p.weight = kind == NormKind::srms ? nullptr : row_vector<T>(weights.weight, C, "weight");
        p.bias = kind == NormKind::layer ? row_vector<T>(weights.bias, C, "bias") : nullptr;
        p.eps = eps;
        p.centred = kind == NormKind::layer;
        const dim3 grid(blocks_for(layout.rows(), 1));
        if (layout.packs_of(kVec<D>))
            launch(stream, norm_forward_kernel<D, kVec<D>>, grid, dim3(threads_for(C, kVec<D>)), 0,
                   p);
        else
            launch(stream, norm_forward_kernel<D, 1>, grid, dim3(threads_for(C, 1)), 0, p);
    });
}

void norm_backward(Stream& s, Tensor dx, NormWeights dweights, Tensor dy, Tensor x, Tensor stats,
                   NormKind kind, NormWeights weights, bool accumulate) {
    check_norm_backward(dx, dweights, dy, x, stats, kind, weights);
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
        p.cols = C;
        p.weight = kind == NormKind::srms ? nullptr : row_vector<T>(weights.weight, C, "weight");
        p.centred = kind == NormKind::layer;
        p.accumulate = accumulate;
        // First the weights: dx may be dy itself.
        if (kind != NormKind::srms && dweights.weight.data)
            add_column_sums(stream, row_vector<A>(dweights.weight, C, "dweight"), layout.rows(), C,
                            WeightGradient<D>{p.dy, p.x, p.stats, p.stats_stride});
        if (kind == NormKind::layer && dweights.bias.data)
            add_column_sums(stream, row_vector<A>(dweights.bias, C, "dbias"), layout.rows(), C,
                            BiasGradient<D>{p.dy});
        const dim3 grid(blocks_for(layout.rows(), 1));
        if (layout.packs_of(kVec<D>))
            launch(stream, norm_backward_kernel<D, kVec<D>>, grid, dim3(threads_for(C, kVec<D>)), 0,
                   p);
        else
            launch(stream, norm_backward_kernel<D, 1>, grid, dim3(threads_for(C, 1)), 0, p);
    });
}

} // namespace tnl::cuda
