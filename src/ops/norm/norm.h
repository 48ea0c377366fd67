// Norms over the last dimension on the CPU, alone and with a gate. Contracts: ops/kernels.h.
#pragma once

#include "ops/kernels.h"

namespace tnl {

namespace oracle {
void norm_forward(Stream&, Tensor y, Tensor stats, Tensor x, NormKind kind, NormWeights weights,
                  float eps);
void norm_backward(Stream&, Tensor dx, NormWeights dweights, Tensor dy, Tensor x, Tensor stats,
                   NormKind kind, NormWeights weights, bool of_output, bool accumulate);
void srms_gate_forward(Stream&, Tensor y, Tensor stats, Tensor x, Tensor g, float eps,
                       Activation act);
void srms_gate_backward(Stream&, Tensor dx, Tensor dg, Tensor y, Tensor dy, Tensor x, Tensor g,
                        Tensor stats, Activation act);
} // namespace oracle
namespace fast {
void norm_forward(Stream&, Tensor y, Tensor stats, Tensor x, NormKind kind, NormWeights weights,
                  float eps);
void norm_backward(Stream&, Tensor dx, NormWeights dweights, Tensor dy, Tensor x, Tensor stats,
                   NormKind kind, NormWeights weights, bool of_output, bool accumulate);
void srms_gate_forward(Stream&, Tensor y, Tensor stats, Tensor x, Tensor g, float eps,
                       Activation act);
void srms_gate_backward(Stream&, Tensor dx, Tensor dg, Tensor y, Tensor dy, Tensor x, Tensor g,
                        Tensor stats, Activation act);
} // namespace fast

// Shapes of both directions, for both implementations.
void check_norm_forward(const Tensor& y, const Tensor& stats, const Tensor& x, NormKind kind,
                        const NormWeights& weights);
void check_norm_backward(const Tensor& dx, const NormWeights& dweights, const Tensor& dy,
                         const Tensor& x, const Tensor& stats, NormKind kind,
                         const NormWeights& weights, bool of_output);
void check_srms_gate_backward(const Tensor& dx, const Tensor& dg, const Tensor& y, const Tensor& dy,
                              const Tensor& x, const Tensor& g, const Tensor& stats);

} // namespace tnl
