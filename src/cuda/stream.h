// One GPU stream with what launches on it need. CUDA errors become tnl::Error here.
#pragma once

#include "base/check.h"

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <cstddef>

namespace tnl {

[[noreturn]] void fail_cuda(cudaError_t error, const char* what);
[[noreturn]] void fail_cublas(cublasStatus_t status, const char* what);

inline void check_cuda(cudaError_t error, const char* what) {
    if (error != cudaSuccess) [[unlikely]]
        fail_cuda(error, what);
}
inline void check_cublas(cublasStatus_t status, const char* what) {
    if (status != CUBLAS_STATUS_SUCCESS) [[unlikely]]
        fail_cublas(status, what);
}

// What the runtime tells of a GPU, asked once.
const cudaDeviceProp& properties_of(int device);

struct CudaStream {
    // A stream of its own, with cuBLAS (blas.cpp).
    explicit CudaStream(int device);
    // The caller's stream: nothing is allocated, nothing waited for; no cuBLAS, no scratch.
    CudaStream(int device, cudaStream_t borrowed);
    ~CudaStream();
    CudaStream(const CudaStream&) = delete;
    CudaStream& operator=(const CudaStream&) = delete;

    int device = 0;
    cudaStream_t stream = nullptr;
    cublasHandle_t blas = nullptr; // full f32, no TF32; f32 sums of bf16 products
    cudaDeviceProp props{};

    bool borrowed() const { return !owned_; }

    // Makes this stream's GPU the calling thread's.
    void use() const { check_cuda(cudaSetDevice(device), "cudaSetDevice"); }

    // At least `bytes`, 256-byte aligned, until the next call of scratch: kernels of one stream run
    // in order, so each operation may take all of it. Grows, rarely, by waiting for the stream.
    void* scratch(size_t bytes);
    // Where it lies now, null before the first call: what recorded work may still point to.
    const void* scratch_address() const { return scratch_; }

    // cuBLAS's, for products of this stream by cuBLASLt.
    static constexpr size_t kBlasWorkspace = size_t{64} << 20;
    void* blas_workspace() const { return blas_workspace_; }

  private:
    bool owned_ = false;
    cublasStatus_t (*destroy_blas_)(cublasHandle_t) = nullptr; // so that only blas.cpp needs cuBLAS
    void* blas_workspace_ = nullptr;
    void* scratch_ = nullptr;
    size_t scratch_bytes_ = 0;
};

} // namespace tnl
