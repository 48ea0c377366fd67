// AdamW over a flat range.
#pragma once

#include "ops/adam/adam.h"
#include "ops/simd/scalar.h"

namespace tnl {
namespace {
namespace simd_loops {

template <class S>
void adamw(S* w, float* p, float* m, float* v, const float* g, int64_t n, const AdamWStep& step) {
    const float scale = static_cast<float>(step.gradient_scale);
    const float beta1 = static_cast<float>(step.beta1), rest1 = static_cast<float>(1 - step.beta1);
    const float beta2 = static_cast<float>(step.beta2), rest2 = static_cast<float>(1 - step.beta2);
    const float keep = static_cast<float>(step.keep), rate = static_cast<float>(step.rate);
    const float correction = static_cast<float>(step.inverse_sqrt_correction2);
    const float eps = static_cast<float>(step.eps);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const float gradient = g[i] * scale;
        const float first = beta1 * m[i] + rest1 * gradient;
        const float second = beta2 * v[i] + rest2 * gradient * gradient;
        const float value =
            keep * p[i] - rate * first / (__builtin_sqrtf(second) * correction + eps);
        m[i] = first;
        v[i] = second;
        p[i] = value;
        store(w[i], value);
    }
}

} // namespace simd_loops
} // namespace
} // namespace tnl
