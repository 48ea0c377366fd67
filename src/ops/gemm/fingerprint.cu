#include "cuda/launch.h"
#include "ops/gemm/lt_cuda.h"

namespace tnl::cuda {
namespace {

// The finaliser of MurmurHash3.
__device__ uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
    return x ^ (x >> 33);
}

// Whole-number sums: their order does not matter.
__global__ void sum_words(unsigned long long* sum, const uint16_t* matrix, int64_t rows,
                          int64_t words, int64_t stride) {
    uint64_t mine = 0;
    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x)
        for (int64_t i = threadIdx.x; i < words; i += blockDim.x)
            mine += mix(static_cast<uint64_t>(r * words + i) << 16 | matrix[r * stride + i]);
    for (int lanes = 16; lanes > 0; lanes /= 2) mine += __shfl_down_sync(~0u, mine, lanes);
    if (threadIdx.x % 32 == 0) atomicAdd(sum, static_cast<unsigned long long>(mine));
}

} // namespace

uint64_t fingerprint(const CudaStream& stream, const void* matrix, int64_t rows, int64_t bytes,
                     int64_t stride, void* memory) {
    check_cuda(cudaMemsetAsync(memory, 0, sizeof(uint64_t), stream.stream), "cudaMemsetAsync");
    const auto blocks = static_cast<unsigned>(rows < 2048 ? rows : 2048);
    launch(stream, sum_words, dim3(blocks), dim3(256), 0, static_cast<unsigned long long*>(memory),
           static_cast<const uint16_t*>(matrix), rows, bytes / 2, stride / 2);
    uint64_t sum = 0;
    check_cuda(cudaMemcpyAsync(&sum, memory, sizeof sum, cudaMemcpyDeviceToHost, stream.stream),
               "cudaMemcpyAsync");
    check_cuda(cudaStreamSynchronize(stream.stream), "a kernel");
    return sum;
}

} // namespace tnl::cuda
