#include "ops/softmax/softmax_cuda.h"

#include "ops/entries_cuda.h"

#include <algorithm>

namespace tnl::cuda {
namespace {

size_t offsets_bytes(const SoftmaxShape& shape) {
    return static_cast<size_t>(shape.sequences + 1) * sizeof(int32_t);
}

// cu_seqlens in the workspace, or null without.
const int32_t* upload(const CudaStream& stream, const SoftmaxShape& shape, const Tensor& cu_seqlens,
                      const Tensor& workspace) {
    if (!cu_seqlens.rank) return nullptr;
    const size_t bytes = offsets_bytes(shape);
    TNL_CHECK(workspace.data && static_cast<size_t>(workspace.bytes()) >= bytes,
              "softmax attention: workspace of {} bytes, wanted {}",
              workspace.data ? workspace.bytes() : 0, bytes);
    // The runtime copies pageable memory before it returns: the caller may reuse it at once.
    check_cuda(cudaMemcpyAsync(workspace.data, cu_seqlens.as<int32_t>(), bytes,
                               cudaMemcpyHostToDevice, stream.stream),
               "upload of cu_seqlens");
    return static_cast<const int32_t*>(workspace.data);
}

} // namespace

size_t softmax_workspace(const SoftmaxShape& shape, bool backward) {
    return std::max(shape.B == 1 ? offsets_bytes(shape) : 0,
                    softmax_workspace_cudnn(shape, backward));
}

std::string softmax_plan(DType dtype) {
    const std::string plain = "own kernels, without tensor cores";
    if (dtype != DType::bf16) return fmt::format("cuda: {}", plain);
    const std::string cudnn = softmax_cudnn_version();
    return cudnn.starts_with("cuDNN") ? fmt::format("cuda: {}", cudnn)
                                      : fmt::format("cuda: {} ({})", plain, cudnn);
}

void softmax_forward(Stream& s, const SoftmaxForward& call) {
    const SoftmaxShape shape = check(call);
    CudaStream& stream = cuda_of(s);
    if (softmax_forward_cudnn(stream, call, shape)) return;
    softmax_forward_plain(stream, call, shape,
                          upload(stream, shape, call.cu_seqlens, call.workspace));
}

void softmax_backward(Stream& s, const SoftmaxBackward& call) {
    const SoftmaxShape shape = check(call);
    CudaStream& stream = cuda_of(s);
    if (softmax_backward_cudnn(stream, call, shape)) return;
    softmax_backward_plain(stream, call, shape,
                           upload(stream, shape, call.cu_seqlens, call.workspace));
}

} // namespace tnl::cuda
