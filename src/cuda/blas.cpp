// The stream that owns its cuBLAS handle, in a file of its own: a program that only borrows streams
// links without cuBLAS.
#include "cuda/stream.h"

namespace tnl {

void fail_cublas(cublasStatus_t status, const char* what) {
    throw DeviceError(fmt::format("cuBLAS: {} failed: {}", what, cublasGetStatusString(status)));
}

CudaStream::CudaStream(int device_)
    : device(device_), props(properties_of(device_)), owned_(true), destroy_blas_(cublasDestroy) {
    use();
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

} // namespace tnl
