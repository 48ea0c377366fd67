// Elementwise activations and gated products on the CPU. Contracts: ops/kernels.h.
#pragma once

#include "ops/kernels.h"

namespace tnl {

namespace oracle {
void act_forward(Stream&, Tensor y, Tensor x, Activation act);
void act_backward(Stream&, Tensor dx, Tensor dy, Tensor x, Activation act);
void gate_forward(Stream&, Tensor y, Tensor a, Tensor g, Activation act);
void gate_backward(Stream&, Tensor da, Tensor dg, Tensor y, Tensor dy, Tensor a, Tensor g,
                   Activation act);
} // namespace oracle
namespace fast {
void act_forward(Stream&, Tensor y, Tensor x, Activation act);
void act_backward(Stream&, Tensor dx, Tensor dy, Tensor x, Activation act);
void gate_forward(Stream&, Tensor y, Tensor a, Tensor g, Activation act);
void gate_backward(Stream&, Tensor da, Tensor dg, Tensor y, Tensor dy, Tensor a, Tensor g,
                   Activation act);
} // namespace fast

} // namespace tnl
