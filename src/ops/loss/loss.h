// Cross-entropy on the CPU. Contract: ops/kernels.h.
#pragma once

#include "ops/kernels.h"

namespace tnl {

namespace oracle {
void cross_entropy(Stream&, Tensor loss, Tensor logits, Tensor targets, bool gradient, float scale);
} // namespace oracle
namespace fast {
void cross_entropy(Stream&, Tensor loss, Tensor logits, Tensor targets, bool gradient, float scale);
} // namespace fast

// Throws unless loss [N] acc, logits [N,V] and targets [N] i32 fit and targets are below V.
void check_cross_entropy(const Tensor& loss, const Tensor& logits, const Tensor& targets);

} // namespace tnl
