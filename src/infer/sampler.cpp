#include "infer/sampler.h"

#include "base/check.h"
#include "base/rng.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tnl {
namespace {

// A token and its logit on the way to its probability.
struct Score {
    int32_t token;
    double value;
};

// The larger value first, the lower id on a tie.
bool before(const Score& a, const Score& b) {
    return a.value > b.value || (a.value == b.value && a.token < b.token);
}

void check_logit(float value, size_t token) {
    if (std::isnan(value) || value == std::numeric_limits<float>::infinity()) [[unlikely]]
        fail("the logit of token {} is {}: the weights or activations of the model are not finite",
             token, value);
}

double penalised(double value, double penalty) {
    return value < 0 ? value * penalty : value / penalty;
}

// Bias and penalties, which are applied to greedy choice too. Only tokens above -infinity are kept.
std::vector<Score> adjusted(std::span<const float> logits, const SamplerOptions& options,
                            std::span<const int32_t> seen, std::span<const MadeToken> made,
                            const TokenMask* mask) {
    std::vector<Score> scores(logits.size());
    for (size_t i = 0; i < logits.size(); ++i) {
        check_logit(logits[i], i);
        scores[i] = {static_cast<int32_t>(i), logits[i]};
    }
    auto at = [&](int32_t token, const char* what) -> double& {
        TNL_CHECK(token >= 0 && static_cast<size_t>(token) < logits.size(),
                  "{} names token {}, wanted 0 to {}", what, token, logits.size() - 1);
        return scores[static_cast<size_t>(token)].value;
    };
    for (const auto& [token, bias] : options.logit_bias) at(token, "logit_bias") += bias;
    if (options.repetition_penalty != 1)
        for (const int32_t token : seen) {
            double& value = at(token, "the sequence");
            value = penalised(value, options.repetition_penalty);
        }
    if (options.presence_penalty != 0 || options.frequency_penalty != 0)
        for (const MadeToken& m : made)
            at(m.token, "the sequence") -=
                options.presence_penalty + options.frequency_penalty * static_cast<double>(m.count);
    std::erase_if(scores, [&](const Score& s) {
        return !(s.value > -HUGE_VAL) || (mask != nullptr && !mask->allows(s.token));
    });
    TNL_CHECK(!scores.empty(), "all {} logits are -infinity{}: no token can be chosen",
              logits.size(), mask == nullptr ? "" : ", but for tokens that may not come next");
    return scores;
}

void keep_top_k(std::vector<Score>& scores, int64_t k) {
    if (k <= 0 || static_cast<size_t>(k) >= scores.size()) return;
    std::vector<double> values;
    values.reserve(scores.size());
    for (const Score& s : scores) values.push_back(s.value);
    std::nth_element(values.begin(), values.begin() + (k - 1), values.end(), std::greater<>());
    const double least = values[static_cast<size_t>(k - 1)];
    std::erase_if(scores, [&](const Score& s) { return s.value < least; });
}

// Turns values into exp(value - maximum); returns their sum.
double exponentiate(std::vector<Score>& scores, double temperature) {
    double top = -HUGE_VAL;
    for (const Score& s : scores) top = std::max(top, s.value);
    double sum = 0;
    for (Score& s : scores) {
        s.value = std::exp((s.value - top) / temperature);
        sum += s.value;
    }
    return sum;
}

// Keeps the fewest tokens whose sum reaches top_p of the whole. A heap yields them largest first
// without sorting the rest.
void keep_top_p(std::vector<Score>& scores, double top_p, double& sum) {
    if (top_p >= 1) return;
    const auto after = [](const Score& a, const Score& b) { return before(b, a); };
    std::make_heap(scores.begin(), scores.end(), after);
    const double wanted = top_p * sum;
    double kept = 0;
    auto end = scores.end();
    while (end != scores.begin() && (end == scores.end() || kept < wanted)) {
        std::pop_heap(scores.begin(), end, after);
        kept += (--end)->value;
    }
    scores.erase(scores.begin(), end);
    sum = kept;
}

void keep_min_p(std::vector<Score>& scores, double min_p, double& sum) {
    if (min_p <= 0) return; // the largest value is exp(0) = 1
    std::erase_if(scores, [&](const Score& s) { return s.value < min_p; });
    sum = 0;
    for (const Score& s : scores) sum += s.value;
}

} // namespace

void SamplerOptions::validate() const {
    auto require = [](bool ok, const char* field, double value, const char* range) {
        if (!ok) throw UsageError(fmt::format("{} is {}, wanted {}", field, value, range));
    };
    require(temperature >= 0 && std::isfinite(temperature), "temperature", temperature,
            "0 (greedy) or more");
    require(top_k >= 0, "top_k", static_cast<double>(top_k), "0 (all) or more");
    require(top_p > 0 && top_p <= 1, "top_p", top_p, "more than 0, at most 1");
    require(min_p >= 0 && min_p <= 1, "min_p", min_p, "0 to 1");
    require(repetition_penalty > 0 && std::isfinite(repetition_penalty), "repetition_penalty",
            repetition_penalty, "more than 0");
    require(std::abs(presence_penalty) <= 2, "presence_penalty", presence_penalty, "-2 to 2");
    require(std::abs(frequency_penalty) <= 2, "frequency_penalty", frequency_penalty, "-2 to 2");
    for (const auto& [token, bias] : logit_bias)
        require(!std::isnan(bias) && bias < HUGE_VALF, "logit_bias", bias, "a number");
}

bool SamplerOptions::plainly_greedy() const {
    return temperature == 0 && repetition_penalty == 1 && presence_penalty == 0 &&
           frequency_penalty == 0 && logit_bias.empty();
}

void SeenTokens::add(int32_t token) {
    TNL_CHECK(token >= 0 && static_cast<size_t>(token) < seen_.size(),
              "token {} is not in a vocabulary of {}", token, seen_.size());
    if (seen_[static_cast<size_t>(token)]) return;
    seen_[static_cast<size_t>(token)] = true;
    list_.push_back(token);
}

void SeenTokens::add_made(int32_t token) {
    add(token);
    const auto [at, added] = made_at_.try_emplace(token, made_.size());
    if (added) made_.push_back({token, 0});
    ++made_[at->second].count;
}

std::vector<Candidate> token_distribution(std::span<const float> logits,
                                          const SamplerOptions& options,
                                          std::span<const int32_t> seen,
                                          std::span<const MadeToken> made, const TokenMask* mask) {
    TNL_CHECK(!logits.empty(), "no logits to sample from");
    std::vector<Score> scores = adjusted(logits, options, seen, made, mask);
    if (options.temperature == 0) {
        const Score best = *std::min_element(scores.begin(), scores.end(), before);
        return {{best.token, 1.0}};
    }
    keep_top_k(scores, options.top_k);
    double sum = exponentiate(scores, options.temperature);
    keep_top_p(scores, options.top_p, sum);
    keep_min_p(scores, options.min_p, sum);
    std::vector<Candidate> out;
    out.reserve(scores.size());
    for (const Score& s : scores) out.push_back({s.token, s.value / sum});
    return out;
}

int32_t sample_token(std::span<const float> logits, const SamplerOptions& options,
                     std::span<const int32_t> seen, uint64_t request, uint64_t position,
                     std::span<const MadeToken> made, const TokenMask* mask) {
    const std::vector<Candidate> candidates = token_distribution(logits, options, seen, made, mask);
    double left = Philox{options.seed, request}.uniform(position);
    for (const Candidate& c : candidates) {
        left -= c.p;
        if (left < 0) return c.token;
    }
    // The probabilities may sum to a little less than the number drawn.
    return std::max_element(candidates.begin(), candidates.end(),
                            [](const Candidate& a, const Candidate& b) { return a.p < b.p; })
        ->token;
}

} // namespace tnl
