// Reductions over a warp and a block in an order fixed by the block's size: no atomics, so results
// repeat bit for bit.
#pragma once

#include "cuda/vec.cuh"

#include <cuda_runtime.h>

namespace tnl {

constexpr int kWarp = 32;

template <class A> __device__ A warp_sum(A x) {
    for (int offset = kWarp / 2; offset > 0; offset /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
}

// NaN is passed over unless all are NaN.
template <class A> __device__ A warp_max(A x) {
    for (int offset = kWarp / 2; offset > 0; offset /= 2) {
        const A other = __shfl_xor_sync(0xffffffffu, x, offset);
        x = x < other || x != x ? other : x;
    }
    return x;
}

// The result reaches every thread. All threads of a one-dimensional block of whole warps must call.
template <class A> __device__ A block_sum(A x) {
    __shared__ A parts[kWarp];
    x = warp_sum(x);
    __syncthreads(); // an earlier call's readers are done
    if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = x;
    __syncthreads();
    A total = 0;
    for (unsigned w = 0; w < blockDim.x / kWarp; ++w) total += parts[w];
    return total;
}

template <class A> __device__ A block_max(A x) {
    __shared__ A parts[kWarp];
    x = warp_max(x);
    __syncthreads();
    if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = x;
    __syncthreads();
    A best = parts[0];
    for (unsigned w = 1; w < blockDim.x / kWarp; ++w)
        best = best < parts[w] || best != best ? parts[w] : best;
    return best;
}

} // namespace tnl
