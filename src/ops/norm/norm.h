// Norms over the last dimension on the CPU. Contracts: ops/kernels.h.
#pragma once

#include "ops/kernels.h"

namespace tnl {

namespace oracle {
void norm_forward(Stream&, Tensor h, Tensor y, Tensor stats, Tensor x, Tensor delta, NormKind kind,
                  NormWeights weights, float eps);
void norm_backward(Stream&, Tensor dx, NormWeights dweights, Tensor dy, Tensor x, Tensor stats,
                   NormKind kind, NormWeights weights, bool accumulate);
} // namespace oracle
namespace fast {
void norm_forward(Stream&, Tensor h, Tensor y, Tensor stats, Tensor x, Tensor delta, NormKind kind,
                  NormWeights weights, float eps);
void norm_backward(Stream&, Tensor dx, NormWeights dweights, Tensor dy, Tensor x, Tensor stats,
                   NormKind kind, NormWeights weights, bool accumulate);
} // namespace fast

// Shapes of both directions, for both implementations.
void check_norm_forward(const Tensor& h, const Tensor& y, const Tensor& stats, const Tensor& x,
                        const Tensor& delta, NormKind kind, const NormWeights& weights);
void check_norm_backward(const Tensor& dx, const NormWeights& dweights, const Tensor& dy,
                         const Tensor& x, const Tensor& stats, NormKind kind,
                         const NormWeights& weights);

} // namespace tnl
