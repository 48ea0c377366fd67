// The one place where kernels are launched, so that no call site can forget the error check.
#pragma once

#include "cuda/stream.h"

#include <cuda_runtime.h>

#include <cstdint>
#include <limits>

namespace tnl {

constexpr size_t kDefaultSharedMemory = 48 * 1024; // above it a kernel must ask

template <class... P>
void check_launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared) {
    const cudaError_t error = cudaGetLastError();
    if (error == cudaSuccess) [[likely]]
        return;
    const char* name = "a kernel";
    cudaFuncGetName(&name, reinterpret_cast<const void*>(kernel));
    throw DeviceError(fmt::format(
        "CUDA: launch of {} on grid ({}, {}, {}), block ({}, {}, {}) with {} bytes of shared "
        "memory failed: {}",
        name, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared,
        cudaGetErrorString(error)));
}

// An empty grid is no work, not an error.
template <class... P, class... A>
void launch(const CudaStream& stream, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared,
            A&&... arguments) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    if (shared > kDefaultSharedMemory)
        check_cuda(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                        cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(shared)),
                   "cudaFuncSetAttribute for shared memory");
    kernel<<<grid, block, shared, stream.stream>>>(static_cast<A&&>(arguments)...);
    check_launch(kernel, grid, block, shared);
}

// Blocks of `per_block` that cover n, as a grid dimension.
inline unsigned blocks_for(int64_t n, int64_t per_block) {
    const int64_t blocks = (n + per_block - 1) / per_block;
    TNL_CHECK(blocks <= std::numeric_limits<int32_t>::max(),
              "{} elements are too many for one grid", n);
    return static_cast<unsigned>(blocks);
}

} // namespace tnl
