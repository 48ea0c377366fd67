// AdamW on one flat range on the CPU. Contract: ops/kernels.h.
#pragma once

#include "base/rng.h"
#include "ops/kernels.h"

#include <cstring>

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

// Stochastic rounding: x goes up with the probability of what is cut off. The 16 random bits of
// weight i in one step are a function of (step, i) alone, the same on every device.
struct StochasticRounding {
    Philox random; // its stream is the step
    Philox::Block block = {};
    int64_t drawn = -1; // the block's index: 8 weights share one

    TNL_HOST_DEVICE explicit StochasticRounding(int64_t step)
        : random{0x73746f6368617374u, static_cast<uint64_t>(step)} {}
    // The bits of a bf16. Infinity and NaN stay.
    TNL_HOST_DEVICE uint16_t bits(float x, int64_t i) {
        if (i / 8 != drawn) {
            drawn = i / 8;
            block = random.block(static_cast<uint64_t>(drawn));
        }
        const int part = static_cast<int>(i % 8);
        const uint32_t noise = (block.x[part / 2] >> (16 * (part % 2))) & 0xffffu;
        uint32_t u;
        memcpy(&u, &x, sizeof(u));
        if (x != x) return static_cast<uint16_t>((u >> 16) | 0x40u);
        return static_cast<uint16_t>((u + noise) >> 16);
    }
};

// Throws unless all have n elements and fitting dtypes; master may be absent beside bf16 weights.
void check_adamw(const Tensor& weights, const Tensor& master, const Tensor& m, const Tensor& v,
                 const Tensor& g, const AdamW& a);

} // namespace tnl
