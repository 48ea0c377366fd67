#include "cuda/stream.h"

#include <algorithm>

namespace tnl {
namespace {

constexpr size_t kBlasWorkspace = size_t{32} << 20; // what cuBLAS advises for Hopper
constexpr size_t kScratch = size_t{4} << 20;

} // namespace

void fail_cuda(cudaError_t error, const char* what) {
    cudaGetLastError(); // not reported a second time by the next call
    throw Error(fmt::format("CUDA: {} failed: {} ({})", what, cudaGetErrorString(error),
                            cudaGetErrorName(error)));
}

void fail_cublas(cublasStatus_t status, const char* what) {
    throw Error(fmt::format("cuBLAS: {} failed: {}", what, cublasGetStatusString(status)));
}

CudaStream::CudaStream(int device_) : device(device_) {
    use();
    check_cuda(cudaGetDeviceProperties(&props, device), "cudaGetDeviceProperties");
    check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    check_cublas(cublasCreate(&blas), "cublasCreate");
    check_cublas(cublasSetStream(blas, stream), "cublasSetStream");
    // A workspace of our own: cuBLAS then allocates nothing later and repeats its results.
    check_cuda(cudaMalloc(&blas_workspace_, kBlasWorkspace), "cudaMalloc of cuBLAS's workspace");
    check_cublas(cublasSetWorkspace(blas, blas_workspace_, kBlasWorkspace), "cublasSetWorkspace");
    const auto mode = static_cast<cublasMath_t>(CUBLAS_DEFAULT_MATH |
                                                CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
    check_cublas(cublasSetMathMode(blas, mode), "cublasSetMathMode");
}

CudaStream::~CudaStream() {
    cudaSetDevice(device);
    cudaStreamSynchronize(stream);
    cublasDestroy(blas);
    cudaFree(blas_workspace_);
    cudaFree(scratch_);
    cudaStreamDestroy(stream);
}

void* CudaStream::scratch(size_t bytes) {
    if (bytes <= scratch_bytes_) return scratch_;
    const size_t wanted = std::max({kScratch, bytes, 2 * scratch_bytes_});
    check_cuda(cudaStreamSynchronize(stream), "a kernel");
    check_cuda(cudaFree(scratch_), "cudaFree");
    scratch_ = nullptr;
    scratch_bytes_ = 0;
    check_cuda(cudaMalloc(&scratch_, wanted), "cudaMalloc of kernel scratch");
    scratch_bytes_ = wanted;
    return scratch_;
}

} // namespace tnl
