#pragma once

#include <cuda_runtime.h>

namespace tnl::cuda {

// One token's decay lambda = keep + change. A slow one is 1 - (1 - lambda): f32 rounds a lambda
// near 1 so coarsely that the rate 5e-6 would be off by 0.6 %, while 1 - lambda keeps all its
// digits. The small terms meet before the state does.
template <class A> struct StepDecay {
    A keep, change;
    StepDecay() = default;
    __device__ explicit StepDecay(A slope) {
        const double x = -static_cast<double>(slope), lambda = exp(x);
        keep = lambda <= 0.5 ? A(0) : A(1);
        change = static_cast<A>(lambda <= 0.5 ? lambda : expm1(x));
    }
    __device__ A step(A z, A bc) const { return fma(keep, z, fma(change, z, bc)); }
};

} // namespace tnl::cuda
