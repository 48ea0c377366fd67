// Activations of one number, as PyTorch defines them, and of rows, which `exp` needs.
#pragma once

#include "ops/kernels.h"

#include <algorithm>
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

// One row of activations, made number by number: `value(i)` and `slope(i)`. For exp both are
// exp(x - max x), since no gradient flows through the maximum.
template <class T> struct ActRow {
    using A = Accumulator<T>;
    ActRow(Activation act_, const T* x_, int64_t n) : act(act_), x(x_) {
        if (act != Activation::exp) return;
        for (int64_t i = 0; i < n; ++i) max = i == 0 ? A(x[i]) : std::max(max, A(x[i]));
    }
    A value(int64_t i) const {
        return act == Activation::exp ? std::exp(A(x[i]) - max) : act_value(act, A(x[i]));
    }
    A slope(int64_t i) const {
        return act == Activation::exp ? std::exp(A(x[i]) - max) : act_slope(act, A(x[i]));
    }
    Activation act;
    const T* x;
    A max = 0;
};

} // namespace tnl
