// Rows of scores of softmax attention (ops/softmax/softmax_fast.cpp), all in f32.
#pragma once

#include "ops/act/act_loops.h"

namespace tnl {
namespace {
namespace simd_loops {

// s = exp(scale s - shift)
inline void softmax_exp(float* s, int64_t n, float scale, float shift) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) s[i] = exp_of(scale * s[i] - shift);
}

// More scores of a row whose largest (scaled) so far is *max and whose sum of exponentials, *sum:
// both are brought up to date, s = exp(scale s - *max). Returns what all before shrinks by.
inline float softmax_more(float* s, int64_t n, float scale, float* max, float* sum) {
    const float before = *max;
    *max = larger(before, scale * row_max(s, n));
    softmax_exp(s, n, scale, *max);
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t i = 0; i < n; ++i) part += s[i];
    const float shrink = exp_of(before - *max); // e^-infinity comes out as 0 at the first
    *sum = *sum * shrink + part;
    return shrink;
}

// d = scale p (d - delta)
inline void softmax_slope(float* d, const float* p, int64_t n, float delta, float scale) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) d[i] = scale * p[i] * (d[i] - delta);
}

} // namespace simd_loops
} // namespace
} // namespace tnl
