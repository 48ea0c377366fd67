// How the norm kernels walk rows: a row is read once and stays in registers, P packs of V elements
// to a lane. One warp takes a row, or, where a warp's registers do not hold it, as many as needed.
#pragma once

#include "cuda/reduce.cuh"
#include "ops/entries_cuda.h"
#include "ops/rows.cuh"

namespace tnl::cuda {

constexpr int kNormThreads = 512; // of a block, at most
constexpr int kRowsPerBlock = 4;  // where a warp takes a row
template <int V> constexpr int kPacks = V == 1 ? 16 : V == 2 ? 8 : 4;

struct NormGrid {
    int64_t rows, cols;
    dim3 grid, block;
};

// T is a device type.
template <class T, int V> NormGrid norm_grid(int64_t rows, int64_t cols) {
    constexpr int64_t kWarpHolds = int64_t{kWarp} * V * kPacks<V>;
    const int64_t warps = cols <= kWarpHolds ? 1 : (cols + kWarpHolds - 1) / kWarpHolds;
    TNL_CHECK(warps * kWarp <= kNormThreads,
              "norm over {} columns, wanted at most {} of this dtype{}", cols,
              kWarpHolds * kNormThreads / kWarp, V > 1 ? "" : " that lie unaligned");
    const unsigned side = warps == 1 ? kRowsPerBlock : 1;
    return {rows, cols, dim3(blocks_for(rows, side)),
            dim3(static_cast<unsigned>(warps) * kWarp, side)};
}

// The row of this thread; -1: none. Only where a warp takes a row may it be none.
__device__ inline int64_t norm_row(int64_t rows) {
    const int64_t row = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
    return row < rows ? row : -1;
}

// f(pack index, first column) for the packs of this lane.
template <int V, class F> __device__ void each_pack(int64_t cols, F&& f) {
#pragma unroll
    for (int n = 0; n < kPacks<V>; ++n) {
        const int c = (n * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * V;
        if (c < cols) f(n, c);
    }
}

// The sum over the threads of a row, for each of them.
template <class A> __device__ A row_sum(A x) {
    if (blockDim.x == kWarp) return warp_sum(x);
    return block_sum(x);
}

// A contiguous vector [C] of T, or null.
template <class T> DeviceType<T>* row_vector(const Tensor& x, int64_t cols, const char* what) {
    if (!x.data) return nullptr;
    TNL_CHECK(x.size() == cols && x.contiguous(), "{} has shape {}, wanted {} contiguous elements",
              what, x.shape_string(), cols);
    return device_data<T>(x);
}

// make(std::integral_constant<int, V>) launches with packs of V columns: 16 bytes where the layout
// allows, else single elements.
template <class T, class Make> void with_packs(const Layout& layout, Make&& make) {
    if (layout.packs_of(kVec<T>))
        make(std::integral_constant<int, kVec<T>>{});
    else
        make(std::integral_constant<int, 1>{});
}

} // namespace tnl::cuda
