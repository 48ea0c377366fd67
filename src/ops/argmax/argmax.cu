#include "ops/argmax/argmax.h"

#include "cuda/reduce.cuh"
#include "ops/entries_cuda.h"
#include "ops/rows.cuh"

namespace tnl::cuda {
namespace {

constexpr int kThreads = 1024;

// The best so far, and whether a number that none may choose was seen.
template <class A> struct Best {
    A value;
    int column; // -1: nothing above -infinity
    bool bad;
    __device__ void see(A x, int c) { // columns in increasing order
        bad = bad || !(x < A(INFINITY));
        if (x > value) {
            value = x;
            column = c;
        }
    }
    __device__ void join(A x, int c, bool is_bad) {
        bad = bad || is_bad;
        if (c >= 0 && (x > value || (x == value && (column < 0 || c < column)))) {
            value = x;
            column = c;
        }
    }
    __device__ void join_warp() {
        for (int offset = kWarp / 2; offset > 0; offset /= 2) {
            const A x = __shfl_xor_sync(0xffffffffu, value, offset);
            const int c = __shfl_xor_sync(0xffffffffu, column, offset);
            const int b = __shfl_xor_sync(0xffffffffu, static_cast<int>(bad), offset);
            join(x, c, b != 0);
        }
    }
};

// A block a row.
template <class T, int V>
__global__ void __launch_bounds__(kThreads) argmax_kernel(int32_t* ids, DeviceRows<T> x, int cols) {
    using A = AccOf<T>;
    __shared__ A values[kThreads / kWarp];
    __shared__ int columns[kThreads / kWarp];
    __shared__ bool bads[kThreads / kWarp];
    const T* row = x.row(blockIdx.x);
    const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
    Best<A> best{A(-INFINITY), -1, false};
#pragma unroll 4
    for (int c = thread * V; c < cols; c += kThreads * V) {
        const auto p = load_pack<V>(row + c);
        for (int i = 0; i < V; ++i) best.see(to_acc(p.x[i]), c + i);
    }
    best.join_warp();
    if (lane == 0) {
        values[warp] = best.value;
        columns[warp] = best.column;
        bads[warp] = best.bad;
    }
    __syncthreads();
    if (warp > 0) return;
    best = {values[lane], columns[lane], bads[lane]};
    best.join_warp();
    if (lane == 0) ids[blockIdx.x] = best.bad ? -1 : best.column;
}

} // namespace

void argmax(Stream& s, Tensor ids, Tensor x) {
    check_argmax(ids, x);
    CudaStream& stream = cuda_of(s);
    const Layout layout({&x}, true);
    const auto cols = static_cast<int>(layout.cols());
    const dim3 grid(static_cast<unsigned>(layout.rows()));
    dispatch_float(x.dtype, [&]<class T>() {
        using D = DeviceType<T>;
        const auto rows = device_rows<T>(layout, x);
        if (layout.packs_of(kVec<D>))
            launch(stream, argmax_kernel<D, kVec<D>>, grid, dim3(kThreads), 0, ids.as<int32_t>(),
                   rows, cols);
        else
            launch(stream, argmax_kernel<D, 1>, grid, dim3(kThreads), 0, ids.as<int32_t>(), rows,
                   cols);
    });
}

} // namespace tnl::cuda
