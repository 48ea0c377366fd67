#include "cuda/stream.h"

#include <algorithm>
#include <map>
#include <mutex>

namespace tnl {
namespace {

constexpr size_t kScratch = size_t{4} << 20;

} // namespace

void fail_cuda(cudaError_t error, const char* what) {
    cudaGetLastError(); // not reported a second time by the next call
    throw DeviceError(fmt::format("CUDA: {} failed: {} ({})", what, cudaGetErrorString(error),
                                  cudaGetErrorName(error)));
}

const cudaDeviceProp& properties_of(int device) {
    static std::mutex mutex;
    static std::map<int, cudaDeviceProp> known;
    const std::lock_guard lock(mutex);
    const auto found = known.find(device);
    if (found != known.end()) return found->second;
    cudaDeviceProp props{};
    check_cuda(cudaGetDeviceProperties(&props, device), "cudaGetDeviceProperties");
    return known.emplace(device, props).first->second;
}

CudaStream::CudaStream(int device_, cudaStream_t borrowed)
    : device(device_), stream(borrowed), props(properties_of(device_)) {}

CudaStream::~CudaStream() {
    if (!owned_) return;
    cudaSetDevice(device);
    cudaStreamSynchronize(stream);
    destroy_blas_(blas);
    cudaFree(blas_workspace_);
    cudaFree(scratch_);
    cudaStreamDestroy(stream);
}

void* CudaStream::scratch(size_t bytes) {
    TNL_CHECK(owned_, "{} bytes of scratch on a borrowed stream, which has none", bytes);
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
