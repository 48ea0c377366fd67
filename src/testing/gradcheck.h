// For tests: an analytic gradient against central finite differences in double.
#pragma once

#include "testing/compare.h"

namespace tnl::testing {

struct GradcheckOptions {
    double step = 1e-5;
    double tolerance = 1e-7;  // of the gradient's largest magnitude (at least 1e-3)
    int64_t max_elements = 0; // 0: every element; else about that many, evenly spread
};

// `loss()` is a scalar function (double) of the f64 tensor x, which is moved element by element and
// put back; `gradient` is d loss / d x.
template <class F>
::testing::AssertionResult gradcheck(const char* name, const Tensor& x, const Tensor& gradient,
                                     F&& loss, const GradcheckOptions& options = {}) {
    if (x.dtype != DType::f64 || gradient.size() != x.size())
        return ::testing::AssertionFailure()
               << name << ": gradcheck wants f64 and a gradient of the same size";
    const int64_t n = x.size();
    const int64_t stride =
        options.max_elements > 0 ? std::max<int64_t>(1, n / options.max_elements) : 1;
    double worst = 0, magnitude = 1e-3, worst_analytic = 0, worst_numeric = 0;
    int64_t worst_at = 0;
    for (int64_t i = 0; i < n; ++i)
        magnitude = std::max(magnitude, std::abs(value_at(gradient, i)));
    for (int64_t i = 0; i < n; i += stride) {
        const double saved = value_at(x, i);
        set_value(x, i, saved + options.step);
        const double up = loss();
        set_value(x, i, saved - options.step);
        const double down = loss();
        set_value(x, i, saved);
        const double numeric = (up - down) / (2 * options.step), analytic = value_at(gradient, i);
        const double error = std::abs(numeric - analytic);
        if (!(error <= worst)) {
            worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
            worst_at = i;
            worst_analytic = analytic;
            worst_numeric = numeric;
        }
    }
    if (worst <= options.tolerance * magnitude) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << name << coordinate(x, worst_at) << ": gradient " << worst_analytic
           << ", finite difference " << worst_numeric << ", error " << worst / magnitude
           << " of the largest magnitude " << magnitude << ", allowed " << options.tolerance;
}

// sum of weight * y, the usual scalar made of an output: its gradient with respect to y is
// `weight`.
inline double dot(const Tensor& weight, const Tensor& y) {
    double sum = 0;
    for (int64_t i = 0; i < y.size(); ++i) sum += value_at(weight, i) * value_at(y, i);
    return sum;
}

} // namespace tnl::testing
