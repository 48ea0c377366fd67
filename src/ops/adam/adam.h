// AdamW on one flat range on the CPU. Contract: ops/kernels.h.
#pragma once

#include "ops/kernels.h"

namespace tnl {

namespace oracle {
void adamw(Stream&, Tensor weights, Tensor master, Tensor m, Tensor v, Tensor g, const AdamW&);
} // namespace oracle
namespace fast {
void adamw(Stream&, Tensor weights, Tensor master, Tensor m, Tensor v, Tensor g, const AdamW&);
} // namespace fast

// The formula's constants of one step, made in double.
//   g' = gradient_scale g;  m = beta1 m + (1 - beta1) g';  v = beta2 v + (1 - beta2) g'^2
//   w = keep w - rate m / (sqrt(v) inverse_sqrt_correction2 + eps)
struct AdamWStep {
    explicit AdamWStep(const AdamW& a);
    double beta1, beta2, eps, gradient_scale;
    double keep;                     // 1 - lr weight_decay
    double rate;                     // lr / (1 - beta1^step)
    double inverse_sqrt_correction2; // 1 / sqrt(1 - beta2^step)
};

// Throws unless all five have n elements and fitting dtypes.
void check_adamw(const Tensor& weights, const Tensor& master, const Tensor& m, const Tensor& v,
                 const Tensor& g, const AdamW& a);

} // namespace tnl
