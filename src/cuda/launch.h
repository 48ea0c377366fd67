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

// Only ever more: a graph that is being recorded may hold a launch that needs it.
template <class... P> void allow_shared(void (*kernel)(P...), size_t shared) {
    if (shared <= kDefaultSharedMemory) return;
    cudaFuncAttributes now{};
    check_cuda(cudaFuncGetAttributes(&now, reinterpret_cast<const void*>(kernel)),
               "cudaFuncGetAttributes");
    if (now.maxDynamicSharedSizeBytes < static_cast<int>(shared))
        check_cuda(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                        cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(shared)),
                   "cudaFuncSetAttribute for shared memory");
}

// An empty grid is no work, not an error.
template <class... P, class... A>
void launch(const CudaStream& stream, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared,
            A&&... arguments) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    allow_shared(kernel, shared);
    kernel<<<grid, block, shared, stream.stream>>>(static_cast<A&&>(arguments)...);
    check_launch(kernel, grid, block, shared);
}

// Whether the code that this GPU runs, the newest that was made for one not newer than it, knows
// the instructions of cuda/early.cuh.
inline bool knows_early(const cudaDeviceProp& gpu) {
    int newest = 0;
    for (const int made : {__CUDA_ARCH_LIST__})
        if (made <= gpu.major * 100 + gpu.minor * 10 && made > newest) newest = made;
    return newest >= 900;
}

// The same for a kernel that may begin before the one in front of it ends: see cuda/early.cuh for
// what it has to do. On older GPUs and on borrowed streams it begins after that.
template <class... P, class... A>
void launch_early(const CudaStream& stream, void (*kernel)(P...), dim3 grid, dim3 block,
                  size_t shared, A&&... arguments) {
    if (!knows_early(stream.props) || stream.borrowed())
        return launch(stream, kernel, grid, block, shared, static_cast<A&&>(arguments)...);
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    allow_shared(kernel, shared);
    // A multiprocessor takes blocks of two kernels at once only where both want its memory divided
    // alike.
    check_cuda(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                    cudaFuncAttributePreferredSharedMemoryCarveout,
                                    cudaSharedmemCarveoutMaxShared),
               "cudaFuncSetAttribute for the division of memory");
    cudaLaunchAttribute early{};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream.stream;
    config.attrs = &early;
    config.numAttrs = 1;
    (void)cudaLaunchKernelEx(&config, kernel, static_cast<A&&>(arguments)...);
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
