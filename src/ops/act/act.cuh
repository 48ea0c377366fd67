// Activations of one number on the device, as PyTorch defines them.
#pragma once

#include "ops/kernels.h"

namespace tnl::cuda {

__device__ inline double sigmoid(double x) { return 1 / (1 + exp(-x)); }
// Off by a few units in the last place, at a third of the instructions: memory stays the limit.
__device__ inline float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }

struct Identity {
    template <class A> __device__ static A value(A x) { return x; }
    template <class A> __device__ static A slope(A) { return A{1}; }
};
struct Silu {
    template <class A> __device__ static A value(A x) { return x * sigmoid(x); }
    template <class A> __device__ static A slope(A x) {
        const A s = sigmoid(x);
        return s * (A{1} + x * (A{1} - s));
    }
};
struct Relu {
    template <class A> __device__ static A value(A x) { return x > A{0} ? x : A{0}; }
    template <class A> __device__ static A slope(A x) { return x > A{0} ? A{1} : A{0}; }
};
struct LeakyRelu {
    template <class A> __device__ static A value(A x) { return x > A{0} ? x : A(0.01) * x; }
    template <class A> __device__ static A slope(A x) { return x > A{0} ? A{1} : A(0.01); }
};
struct Gelu {
    template <class A> __device__ static A cdf(A x) {
        return A(0.5) * (A{1} + erf(x * A(0.70710678118654752440)));
    }
    template <class A> __device__ static A value(A x) { return x * cdf(x); }
    template <class A> __device__ static A slope(A x) {
        return cdf(x) + x * A(0.39894228040143267794) * exp(A(-0.5) * x * x);
    }
};
template <int kPlus> struct Elu {
    template <class A> __device__ static A value(A x) {
        return A(kPlus) + (x > A{0} ? x : expm1(x));
    }
    template <class A> __device__ static A slope(A x) { return x > A{0} ? A{1} : exp(x); }
};
struct Sigmoid {
    template <class A> __device__ static A value(A x) { return sigmoid(x); }
    template <class A> __device__ static A slope(A x) {
        const A s = sigmoid(x);
        return s * (A{1} - s);
    }
};
// Of x less its row's maximum, which the caller takes off; none of the gradient goes through it.
struct Exp {
    template <class A> __device__ static A value(A x) { return exp(x); }
    template <class A> __device__ static A slope(A x) { return exp(x); }
};
struct Sine {
    template <class A> __device__ static A value(A x) { return sin(x); }
    template <class A> __device__ static A slope(A x) { return cos(x); }
};

// Calls f(activation's struct); one uniform branch. Inlined, or what f refers to lies in memory.
template <class F> __device__ __forceinline__ void with_activation(Activation act, F&& f) {
    switch (act) {
    case Activation::identity:
        return f(Identity{});
    case Activation::silu:
        return f(Silu{});
    case Activation::relu:
        return f(Relu{});
    case Activation::leaky_relu:
        return f(LeakyRelu{});
    case Activation::gelu:
        return f(Gelu{});
    case Activation::elu:
        return f(Elu<0>{});
    case Activation::one_plus_elu:
        return f(Elu<1>{});
    case Activation::two_plus_elu:
        return f(Elu<2>{});
    case Activation::sigmoid:
        return f(Sigmoid{});
    case Activation::exp:
        return f(Exp{});
    case Activation::sine:
        return f(Sine{});
    }
}

} // namespace tnl::cuda
