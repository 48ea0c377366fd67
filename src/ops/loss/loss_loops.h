// Softmax cross-entropy of one row, in place.
#pragma once

#include "ops/act/act_loops.h"

namespace tnl {
namespace {
namespace simd_loops {

// Of f32 sums: short enough that even one not vectorised rounds little.
constexpr int64_t kLossBlock = 256;

template <class S>
float cross_entropy(S* row, int64_t n, int32_t target, bool gradient, float scale) {
    const float max = row_max(row, n);
    const float hit = load(row[target]);
    // f32 rows keep the exponentials for the second pass; bf16 would lose digits by that.
    const bool keep = gradient && sizeof(S) == sizeof(float);
    double sum = 0;
    for (int64_t begin = 0; begin < n; begin += kLossBlock) {
        const int64_t end = smaller(n, begin + kLossBlock);
        float part = 0;
        if (keep) {
#pragma omp simd reduction(+ : part)
            for (int64_t i = begin; i < end; ++i) {
                const float e = exp_of(load(row[i]) - max);
                store(row[i], e);
                part += e;
            }
        } else {
#pragma omp simd reduction(+ : part)
            for (int64_t i = begin; i < end; ++i) part += exp_of(load(row[i]) - max);
        }
        sum += static_cast<double>(part);
    }
    const float loss = static_cast<float>(__builtin_log(sum)) - (hit - max);
    if (!gradient) return loss;
    const float factor = static_cast<float>(static_cast<double>(scale) / sum);
    // Of the target, 1 - p without cancellation of rounded numbers.
    const float p = static_cast<float>(static_cast<double>(exp_of(hit - max)) / sum);
    if (keep) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) store(row[i], load(row[i]) * factor);
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) store(row[i], exp_of(load(row[i]) - max) * factor);
    }
    store(row[target], scale * (p - 1.0f));
    return loss;
}

} // namespace simd_loops
} // namespace
} // namespace tnl
