#include "cuda/reduce.cuh"
#include "ops/entries_cuda.h"
#include "ops/rows.cuh"

namespace tnl::cuda {
namespace {

// Two blocks a multiprocessor: of more, the rows would not stay in the second-level cache until
// they are read again.
constexpr int kThreads = 1024, kBlocks = 2;

template <class T> struct CrossEntropy {
    AccOf<T>* loss;
    DeviceRows<T> logits;
    const int32_t* targets;
    int cols;
    bool gradient;
    AccOf<T> scale;
};

template <class A> __device__ A minus_infinity() { return static_cast<A>(-INFINITY); }

// exp in the fewest instructions that f32 allows: a row is short of them, not of memory.
__device__ inline float exp_of(float x) { return exp2f(x * 1.4426950408889634f); }
__device__ inline double exp_of(double x) { return exp(x); }

// One block a row: one reading for the maximum and the sum of exponentials together, one more for
// the gradient.
template <class T, int V>
__global__ void __launch_bounds__(kThreads, kBlocks) cross_entropy_kernel(CrossEntropy<T> p) {
    using A = AccOf<T>;
    const int64_t row = blockIdx.x;
    T* x = p.logits.row(row);
    const int32_t target = p.targets[row];
    if (target < 0) {
        if (threadIdx.x == 0) p.loss[row] = 0;
        if (!p.gradient) return;
        Pack<T, V> zero;
        for (int i = 0; i < V; ++i) zero.x[i] = from_acc<T>(A{0});
        for (int c = static_cast<int>(threadIdx.x) * V; c < p.cols; c += kThreads * V)
            store_pack(x + c, zero);
        return;
    }
    const A hit = target < p.cols ? to_acc(x[target]) : static_cast<A>(NAN);
    A max = minus_infinity<A>(), sum = 0; // of this thread's elements; the sum is of exp(x - max)
#pragma unroll 4
    for (int c = static_cast<int>(threadIdx.x) * V; c < p.cols; c += kThreads * V) {
        const auto a = load_pack<V>(x + c);
        A top = max;
        for (int i = 0; i < V; ++i) top = to_acc(a.x[i]) > top ? to_acc(a.x[i]) : top;
        if (top > max) {
            sum *= exp_of(max - top);
            max = top;
        }
        if (max == minus_infinity<A>()) continue;
        for (int i = 0; i < V; ++i) sum += exp_of(to_acc(a.x[i]) - max);
    }
    const A row_max = block_max(max);
    if (max != minus_infinity<A>()) sum *= exp_of(max - row_max);
    const A row_sum = block_sum(sum);
    if (threadIdx.x == 0) p.loss[row] = log(row_sum) - (hit - row_max);
    if (!p.gradient) return;
    const A share = p.scale / row_sum;
    // Every thread has read `hit`: block_sum's barriers lie between.
#pragma unroll 4
    for (int c = static_cast<int>(threadIdx.x) * V; c < p.cols; c += kThreads * V) {
        auto a = load_pack<V>(x + c);
        for (int i = 0; i < V; ++i) {
            const A gradient = share * exp_of(to_acc(a.x[i]) - row_max);
            a.x[i] = from_acc<T>(c + i == target ? gradient - p.scale : gradient);
        }
        store_pack_once(x + c, a);
    }
}

} // namespace

void cross_entropy(Stream& s, Tensor loss, Tensor logits, Tensor targets, bool gradient,
                   float scale) {
    const auto [N, V] = logits.dims<2>("logits");
    TNL_CHECK(loss.is({N}) && loss.contiguous(), "loss has shape {}, wanted [{}]",
              loss.shape_string(), N);
    TNL_CHECK(targets.is({N}) && targets.contiguous(), "targets have shape {}, wanted [{}]",
              targets.shape_string(), N);
    CudaStream& stream = cuda_of(s);
    const Layout layout({&logits}, true);
    const dim3 grid(blocks_for(layout.rows(), 1));
    dispatch_float(logits.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        const CrossEntropy<D> p{device_data<Accumulator<T>>(loss),
                                device_rows<T>(layout, logits),
                                targets.as<int32_t>(),
                                static_cast<int>(layout.cols()),
                                gradient,
                                scale};
        if (layout.packs_of(kVec<D>))
            launch(stream, cross_entropy_kernel<D, kVec<D>>, grid, dim3(kThreads), 0, p);
        else
            launch(stream, cross_entropy_kernel<D, 1>, grid, dim3(kThreads), 0, p);
    });
}

} // namespace tnl::cuda
