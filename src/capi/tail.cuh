// Tokens past the last packed sequence, which no sequence writes.
#pragma once

#include "cuda/stream.h"
#include "tensor/tensor.h"

#include <cstdint>
#include <initializer_list>

namespace tnl::capi {

// Rows [*end, T) of every tensor [1,T,H,width] become zero; end lies in device memory.
void zero_tail(const CudaStream& stream, const int32_t* end, std::initializer_list<Tensor> tensors);

} // namespace tnl::capi
