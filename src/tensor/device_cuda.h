// The CUDA side of a Stream. For files that are built with CUDA only.
#pragma once

#include "cuda/stream.h"
#include "tensor/device.h"

namespace tnl {

// The GPU stream of `stream`, with its GPU made current.
CudaStream& cuda_of(Stream& stream);

} // namespace tnl
