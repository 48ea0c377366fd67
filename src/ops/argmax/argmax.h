// The greedy choice. Contract: ops/kernels.h.
#pragma once

#include "ops/kernels.h"

namespace tnl {

namespace oracle {
void argmax(Stream&, Tensor ids, Tensor x);
} // namespace oracle

// Throws naming the tensor that does not fit.
void check_argmax(const Tensor& ids, const Tensor& x);

} // namespace tnl
