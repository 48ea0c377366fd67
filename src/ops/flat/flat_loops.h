// Sums and copies over a flat range.
#pragma once

#include "ops/simd/scalar.h"

namespace tnl {
namespace {
namespace simd_loops {

template <class S> void add(S* y, const S* x, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) store(y[i], load(y[i]) + load(x[i]));
}

template <class S> void scaled_copy(S* y, const S* x, int64_t n, float scale) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) store(y[i], load(x[i]) * scale);
}

template <class S> void accumulate(float* y, const S* x, int64_t n, float scale) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] += load(x[i]) * scale;
}

template <class To, class From> void convert(To* y, const From* x, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) store(y[i], load(x[i]));
}

template <class S> double sum_squares(const S* x, int64_t n) {
    double total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < n; ++i) {
        const double value = static_cast<double>(load(x[i]));
        total += value * value;
    }
    return total;
}

template <class S> double sum(const S* x, int64_t n) {
    double total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < n; ++i) total += static_cast<double>(load(x[i]));
    return total;
}

} // namespace simd_loops
} // namespace
} // namespace tnl
