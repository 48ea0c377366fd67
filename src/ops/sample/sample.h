// The choice of the next token by lot. Contract of Kernels::sample: ops/kernels.h.
//
// Steps, as Hugging Face generation has them:
//   bias -> repetition penalty -> what is taken -> temperature -> top-k -> top-p -> min-p -> draw
// A changed logit is rounded to f32. The probability of a token is its weight,
// round(2^44 exp((logit - largest) / temperature)), a whole number, over the sum of the weights
// left. Whole numbers sum to the same in any order: that is what lets a GPU add them as they come
// and choose what the CPU does. Only exp itself may differ, by a unit of 2^-44.
// Ties in top-p are broken by the lower token; top-k keeps every token that ties with the k-th.
#pragma once

#include "base/rng.h"
#include "ops/kernels.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <vector>

namespace tnl {

// exp(0): the largest logit's. Those of kMostTokens sum to 2^62 at most.
constexpr uint64_t kTopWeight = uint64_t{1} << 44;
constexpr int64_t kMostTokens = int64_t{1} << 18;

TNL_HOST_DEVICE inline uint64_t token_weight(float logit, float largest, double temperature) {
    const double x = (static_cast<double>(logit) - static_cast<double>(largest)) / temperature;
    if (x < -32) return 0; // less than half of 2^-44
    return static_cast<uint64_t>(llrint(exp(x) * static_cast<double>(kTopWeight)));
}

// The logit that a change makes.
TNL_HOST_DEVICE inline float changed_logit(float logit, const TokenChange& change, double penalty) {
    double x = static_cast<double>(logit) + static_cast<double>(change.bias);
    if (change.penalised != 0) x = x < 0 ? x * penalty : x / penalty;
    return static_cast<float>(x - change.taken);
}

// Order: a < b as f32 <=> order_of(a) < order_of(b), of numbers other than NaN; the zeros are one.
TNL_HOST_DEVICE inline uint32_t order_of(float x) {
    x += 0.0f; // -0
    uint32_t bits = 0;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ (bits >> 31 ? 0xffffffffu : 0x80000000u);
}
constexpr uint32_t kLeastOrder = 0x00800000u; // of the smallest finite number

// The fewest tokens' weight that top-p asks for, of a sum of weights > 0.
TNL_HOST_DEVICE inline uint64_t wanted_weight(double top_p, uint64_t sum) {
    const auto wanted = static_cast<uint64_t>(ceil(top_p * static_cast<double>(sum)));
    return wanted < 1 ? 1 : wanted < sum ? wanted : sum;
}
TNL_HOST_DEVICE inline uint64_t least_weight(double min_p) {
    const auto least = static_cast<uint64_t>(ceil(min_p * static_cast<double>(kTopWeight)));
    return least < 1 ? 1 : least < kTopWeight ? least : kTopWeight;
}
// What of the sum of weights a number drawn from [0, 1) falls on.
TNL_HOST_DEVICE inline uint64_t drawn_weight(double uniform, uint64_t sum) {
    const auto at = static_cast<uint64_t>(uniform * static_cast<double>(sum));
    return at < sum ? at : sum - 1;
}

struct TokenWeight {
    int32_t token = 0;
    uint64_t weight = 0; // > 0
};

// The tokens that may be drawn, in the order of their ids; the one chosen where choice.temperature
// is 0. None where a logit is NaN or +infinity, or where no token is left. allowed: absent, all.
std::vector<TokenWeight> token_weights(std::span<const float> logits, const TokenChoice& choice,
                                       std::span<const TokenChange> changes,
                                       const std::function<bool(int32_t)>& allowed = {});
// One of them, of a number drawn from [0, 1). -1 of none.
int32_t draw_token(std::span<const TokenWeight> weights, double uniform);

struct SampleCall {
    Tensor chosen, logits;
    int64_t rows, V;
};
// Throws naming the tensor that does not fit.
SampleCall check_sample(Tensor chosen, Tensor logits, const Tensor& choices, const Tensor& changes);

namespace oracle {
void sample(Stream&, Tensor chosen, Tensor logits, Tensor choices, Tensor changes);
} // namespace oracle

} // namespace tnl
