// The two ways of softmax attention on a GPU. softmax_cuda.cpp chooses: cuDNN where it can.
#pragma once

#include "ops/softmax/softmax.h"
#include "tensor/device_cuda.h"

namespace tnl {

// Our own kernels: tiles of 16 x 16 scores in shared memory, no tensor cores; f64, f32 and bf16,
// heads up to kSoftmaxPlainWidth wide. Correct and repeatable rather than fast. offsets: cu_seqlens
// in device memory, or null.
constexpr int64_t kSoftmaxPlainWidth = 256;
void softmax_forward_plain(const CudaStream& stream, const SoftmaxForward& call,
                           const SoftmaxShape& shape, const int32_t* offsets);
void softmax_backward_plain(const CudaStream& stream, const SoftmaxBackward& call,
                            const SoftmaxShape& shape, const int32_t* offsets);

// cuDNN's fused attention (softmax_cudnn_cuda.cpp; a build without cuDNN's header links
// softmax_no_cudnn_cuda.cpp). Each returns false, having done nothing, where it cannot compute the
// call: other dtypes than bf16, heads that are no multiple of 8 or wider than 128, packed sequences
// with fewer heads of k and v than of q, no library or GPU. What forward_cudnn left in lse is in
// cuDNN's own order: the backward has to be cuDNN's, too, and it is.
bool softmax_forward_cudnn(CudaStream& stream, const SoftmaxForward& call,
                           const SoftmaxShape& shape);
bool softmax_backward_cudnn(CudaStream& stream, const SoftmaxBackward& call,
                            const SoftmaxShape& shape);
// Bytes of workspace that a call needs if it goes to cuDNN; 0 if it cannot.
size_t softmax_workspace_cudnn(const SoftmaxShape& shape, bool backward);
// "cuDNN 9.19.0", or why not.
std::string softmax_cudnn_version();

} // namespace tnl
