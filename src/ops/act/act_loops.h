// Activations and gates over part of a row (over a whole row for exp).
#pragma once

#include "ops/kernels.h"
#include "ops/simd/scalar.h"

namespace tnl {
namespace {
namespace simd_loops {

// Each activation: its value, its slope, and whether compilers vectorise it (those that call the
// C library they do not).
struct Identity {
    static constexpr bool kVector = true;
    static float value(float x) { return x; }
    static float slope(float) { return 1.0f; }
};
struct Silu {
    static constexpr bool kVector = true;
    static float value(float x) { return x * sigmoid(x); }
    static float slope(float x) {
        const float s = sigmoid(x);
        return s * (1.0f + x * (1.0f - s));
    }
};
struct Sigmoid {
    static constexpr bool kVector = true;
    static float value(float x) { return sigmoid(x); }
    static float slope(float x) {
        const float s = sigmoid(x);
        return s * (1.0f - s);
    }
};
struct Relu {
    static constexpr bool kVector = true;
    static float value(float x) { return x > 0 ? x : 0.0f; }
    static float slope(float x) { return x > 0 ? 1.0f : 0.0f; }
};
struct LeakyRelu {
    static constexpr bool kVector = true;
    static float value(float x) { return x > 0 ? x : 0.01f * x; }
    static float slope(float x) { return x > 0 ? 1.0f : 0.01f; }
};
template <int kPlus> struct Elu {
    static constexpr bool kVector = true;
    static float value(float x) {
        const float negative = expm1_of(x);
        return (x > 0 ? x : negative) + static_cast<float>(kPlus);
    }
    static float slope(float x) {
        const float negative = exp_of(x);
        return x > 0 ? 1.0f : negative;
    }
};
struct Gelu {
    static constexpr bool kVector = false;
    static float cdf(float x) { return 0.5f * (1.0f + __builtin_erff(x * 0.70710678118654752f)); }
    static float value(float x) { return x * cdf(x); }
    static float slope(float x) {
        return cdf(x) + x * 0.39894228040143268f * exp_of(-0.5f * x * x);
    }
};
struct Sine {
    static constexpr bool kVector = false;
    static float value(float x) { return __builtin_sinf(x); }
    static float slope(float x) { return __builtin_cosf(x); }
};

// Calls f(activation) with one of the types above; `exp` is the callers'.
template <class F> void with_activation(Activation act, F&& f) {
    switch (act) {
    case Activation::identity:
    case Activation::exp:
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
    case Activation::sine:
        return f(Sine{});
    }
}

template <bool kVector, class F> void each(int64_t n, F&& f) {
    if constexpr (kVector) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) f(i);
    } else {
        for (int64_t i = 0; i < n; ++i) f(i);
    }
}

template <class S> float row_max(const S* x, int64_t n) {
    float max = load(x[0]);
#pragma omp simd reduction(max : max)
    for (int64_t i = 0; i < n; ++i) max = larger(load(x[i]), max);
    return max;
}

template <class S> void act_forward(S* y, const S* x, int64_t n, Activation act) {
    if (act == Activation::exp) {
        const float max = n > 0 ? row_max(x, n) : 0.0f;
        return each<true>(n, [=](int64_t i) { store(y[i], exp_of(load(x[i]) - max)); });
    }
    with_activation(act, [=]<class F>(F) {
        each<F::kVector>(n, [=](int64_t i) { store(y[i], F::value(load(x[i]))); });
    });
}

template <class S> void act_backward(S* dx, const S* dy, const S* x, int64_t n, Activation act) {
    if (act == Activation::exp) {
        const float max = n > 0 ? row_max(x, n) : 0.0f;
        return each<true>(n,
                          [=](int64_t i) { store(dx[i], load(dy[i]) * exp_of(load(x[i]) - max)); });
    }
    with_activation(act, [=]<class F>(F) {
        each<F::kVector>(n, [=](int64_t i) { store(dx[i], load(dy[i]) * F::slope(load(x[i]))); });
    });
}

template <class S> void gate_forward(S* y, const S* a, const S* g, int64_t n, Activation act) {
    if (act == Activation::exp) {
        const float max = n > 0 ? row_max(g, n) : 0.0f;
        return each<true>(n,
                          [=](int64_t i) { store(y[i], load(a[i]) * exp_of(load(g[i]) - max)); });
    }
    with_activation(act, [=]<class F>(F) {
        each<F::kVector>(n, [=](int64_t i) { store(y[i], load(a[i]) * F::value(load(g[i]))); });
    });
}

template <class S>
void gate_backward(S* da, S* dg, const S* dy, const S* a, const S* g, int64_t n, Activation act) {
    if (act == Activation::exp) {
        const float max = n > 0 ? row_max(g, n) : 0.0f;
        return each<true>(n, [=](int64_t i) {
            const float gradient = load(dy[i]), factor = load(a[i]);
            const float value = exp_of(load(g[i]) - max);
            store(da[i], gradient * value);
            store(dg[i], gradient * factor * value);
        });
    }
    with_activation(act, [=]<class F>(F) {
        each<F::kVector>(n, [=](int64_t i) {
            const float gradient = load(dy[i]), factor = load(a[i]), x = load(g[i]);
            store(da[i], gradient * F::value(x));
            store(dg[i], gradient * factor * F::slope(x));
        });
    });
}

} // namespace simd_loops
} // namespace
} // namespace tnl
