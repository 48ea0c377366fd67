#include "ops/adam/adam.h"
#include "ops/rows.h"

#include <cmath>

namespace tnl {

AdamWStep::AdamWStep(const AdamW& a)
    : beta1(a.beta1), beta2(a.beta2), eps(a.eps), gradient_scale(a.gradient_scale),
      keep(1 - static_cast<double>(a.lr) * a.weight_decay),
      rate(a.lr / (1 - std::pow(beta1, static_cast<double>(a.step)))),
      inverse_sqrt_correction2(1 / std::sqrt(1 - std::pow(beta2, static_cast<double>(a.step)))) {}

void check_adamw(const Tensor& weights, const Tensor& master, const Tensor& m, const Tensor& v,
                 const Tensor& g, const AdamW& a) {
    const int64_t n = weights.size();
    const DType acc = accumulator_dtype(weights.dtype);
    const std::pair<const Tensor*, const char*> others[] = {
        {&master, "master"}, {&m, "m"}, {&v, "v"}, {&g, "g"}};
    TNL_CHECK(weights.contiguous(), "weights are not contiguous");
    TNL_CHECK(master.data || weights.dtype == DType::bf16, "{} weights without master",
              name_of(weights.dtype));
    for (const auto& [t, what] : others) {
        if (t == &master && !master.data) continue;
        check_dtype(*t, acc, what);
        TNL_CHECK(t->size() == n && t->contiguous(), "{} has shape {}, wanted {} elements", what,
                  t->shape_string(), n);
    }
    TNL_CHECK(a.step >= 1, "AdamW step is {}, wanted 1 or more", a.step);
}

namespace oracle {

void adamw(Stream&, Tensor weights, Tensor master, Tensor m_, Tensor v_, Tensor g_,
           const AdamW& a) {
    check_adamw(weights, master, m_, v_, g_, a);
    const AdamWStep step(a);
    dispatch_float(weights.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        T* w = weights.as<T>();
        A *p = master.data ? master.as<A>() : nullptr, *m = m_.as<A>(), *v = v_.as<A>();
        const A* g = g_.as<A>();
        StochasticRounding rounding(a.step);
        for (int64_t i = 0; i < weights.size(); ++i) {
            const A gradient = g[i] * static_cast<A>(step.gradient_scale);
            m[i] = static_cast<A>(step.beta1) * m[i] + static_cast<A>(1 - step.beta1) * gradient;
            v[i] = static_cast<A>(step.beta2) * v[i] +
                   static_cast<A>(1 - step.beta2) * gradient * gradient;
            const A denominator = std::sqrt(v[i]) * static_cast<A>(step.inverse_sqrt_correction2) +
                                  static_cast<A>(step.eps);
            const A before = p ? p[i] : A(w[i]);
            const A value =
                static_cast<A>(step.keep) * before - static_cast<A>(step.rate) * m[i] / denominator;
            w[i] = T(value);
            if (p) p[i] = value;
            if constexpr (std::is_same_v<T, bf16>)
                if (!p) w[i].bits = rounding.bits(value, a.first + i);
        }
    });
}

} // namespace oracle
} // namespace tnl
