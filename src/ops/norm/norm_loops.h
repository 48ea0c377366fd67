// One row of a norm, forward and backward.
#pragma once

#include "ops/simd/scalar.h"
#include "ops/simd/simd.h"

namespace tnl {
namespace {
namespace simd_loops {

// Partial sums of at most this many terms, so that long rows lose no digits.
constexpr int64_t kNormBlock = 1024;

template <class S> float sum_of_row(const S* x, int64_t C) {
    float total = 0;
    for (int64_t begin = 0; begin < C; begin += kNormBlock) {
        const int64_t end = smaller(C, begin + kNormBlock);
        float part = 0;
#pragma omp simd reduction(+ : part)
        for (int64_t c = begin; c < end; ++c) part += load(x[c]);
        total += part;
    }
    return total;
}

template <class S> float squares_of_row(const S* x, int64_t C, float mean) {
    float total = 0;
    for (int64_t begin = 0; begin < C; begin += kNormBlock) {
        const int64_t end = smaller(C, begin + kNormBlock);
        float part = 0;
#pragma omp simd reduction(+ : part)
        for (int64_t c = begin; c < end; ++c) {
            const float z = load(x[c]) - mean;
            part += z * z;
        }
        total += part;
    }
    return total;
}

template <class S> void norm_forward(const NormRow<S>& r) {
    const int64_t C = r.C;
    const S* x = r.x;
    const float size = static_cast<float>(C);
    const float mean = r.given ? r.stats[0] : r.centred ? sum_of_row(x, C) / size : 0.0f;
    const float rstd =
        r.given ? r.stats[1] : 1.0f / __builtin_sqrtf(squares_of_row(x, C, mean) / size + r.eps);
    S* y = r.y;
    const S *w = r.weight, *b = r.bias;
    if (w && b) {
#pragma omp simd
        for (int64_t c = 0; c < C; ++c)
            store(y[c], (load(x[c]) - mean) * rstd * load(w[c]) + load(b[c]));
    } else if (w) {
#pragma omp simd
        for (int64_t c = 0; c < C; ++c) store(y[c], (load(x[c]) - mean) * rstd * load(w[c]));
    } else {
#pragma omp simd
        for (int64_t c = 0; c < C; ++c) store(y[c], (load(x[c]) - mean) * rstd);
    }
    if (r.stats && !r.given) {
        r.stats[0] = mean;
        r.stats[1] = rstd;
    }
}

// dx = rstd (g - mean(g) - z mean(g z)), z = (x - mean) rstd, or x of_output, g = dy weight;
// mean(g) only if centred.
template <bool kWeight, bool kAccumulate, class S>
void norm_backward_as(const NormBackwardRow<S>& r) {
    const int64_t C = r.C;
    S* dx = r.dx;
    const S *dy = r.dy, *x = r.x, *w = r.weight;
    const float mean = r.mean, rstd = r.rstd, spread = r.of_output ? 1.0f : rstd;
    const auto weighted = [=](int64_t c) {
        if constexpr (kWeight)
            return load(dy[c]) * load(w[c]);
        else
            return load(dy[c]);
    };
    float sum_g = 0, sum_gz = 0;
    for (int64_t begin = 0; begin < C; begin += kNormBlock) {
        const int64_t end = smaller(C, begin + kNormBlock);
        float part_g = 0, part_gz = 0;
#pragma omp simd reduction(+ : part_g, part_gz)
        for (int64_t c = begin; c < end; ++c) {
            const float g = weighted(c);
            part_g += g;
            part_gz += g * ((load(x[c]) - mean) * spread);
        }
        sum_g += part_g;
        sum_gz += part_gz;
    }
    const float size = static_cast<float>(C);
    const float mean_g = r.centred ? sum_g / size : 0.0f, mean_gz = sum_gz / size;
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) {
        const float z = (load(x[c]) - mean) * spread;
        const float d = rstd * (weighted(c) - mean_g - z * mean_gz);
        if constexpr (kAccumulate)
            store(dx[c], load(dx[c]) + d);
        else
            store(dx[c], d);
    }
}

template <class S> void norm_backward(const NormBackwardRow<S>& r) {
    if (r.weight)
        r.accumulate ? norm_backward_as<true, true>(r) : norm_backward_as<true, false>(r);
    else
        r.accumulate ? norm_backward_as<false, true>(r) : norm_backward_as<false, false>(r);
}

template <class S>
void norm_dweights(float* dw, float* db, const S* dy, const S* x, int64_t n, float mean,
                   float rstd) {
#pragma omp simd
    for (int64_t c = 0; c < n; ++c) dw[c] += load(dy[c]) * ((load(x[c]) - mean) * rstd);
    if (!db) return;
#pragma omp simd
    for (int64_t c = 0; c < n; ++c) db[c] += load(dy[c]);
}

} // namespace simd_loops
} // namespace
} // namespace tnl
