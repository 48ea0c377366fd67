// Activations of one number, as PyTorch defines them. `exp` is a row operation and not here.
#pragma once

#include "ops/kernels.h"

#include <cmath>

namespace tnl {

template <class A> A sigmoid_of(A x) { return 1 / (1 + std::exp(-x)); }

template <class A> A act_value(Activation act, A x) {
    switch (act) {
    case Activation::silu:
        return x * sigmoid_of(x);
    case Activation::relu:
        return x > 0 ? x : A(0);
    case Activation::leaky_relu:
        return x > 0 ? x : A(0.01) * x;
    case Activation::gelu:
        return x * A(0.5) * (1 + std::erf(x * A(0.70710678118654752440)));
    case Activation::elu:
        return x > 0 ? x : std::expm1(x);
    case Activation::one_plus_elu:
        return 1 + (x > 0 ? x : std::expm1(x));
    case Activation::two_plus_elu:
        return 2 + (x > 0 ? x : std::expm1(x));
    case Activation::sigmoid:
        return sigmoid_of(x);
    case Activation::sine:
        return std::sin(x);
    case Activation::identity:
    case Activation::exp:
        break;
    }
    return x;
}

template <class A> A act_slope(Activation act, A x) {
    switch (act) {
    case Activation::silu: {
        const A s = sigmoid_of(x);
        return s * (1 + x * (1 - s));
    }
    case Activation::relu:
        return x > 0 ? A(1) : A(0);
    case Activation::leaky_relu:
        return x > 0 ? A(1) : A(0.01);
    case Activation::gelu: {
        const A cdf = A(0.5) * (1 + std::erf(x * A(0.70710678118654752440)));
        return cdf + x * A(0.39894228040143267794) * std::exp(A(-0.5) * x * x);
    }
    case Activation::elu:
    case Activation::one_plus_elu:
    case Activation::two_plus_elu:
        return x > 0 ? A(1) : std::exp(x);
    case Activation::sigmoid: {
        const A s = sigmoid_of(x);
        return s * (1 - s);
    }
    case Activation::sine:
        return std::cos(x);
    case Activation::identity:
    case Activation::exp:
        break;
    }
    return A(1);
}

} // namespace tnl
