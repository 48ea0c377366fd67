#include "infer/sampler.h"

#include "base/check.h"
#include "base/rng.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace tnl {
namespace {

void check_logits(std::span<const float> logits) {
    for (size_t token = 0; token < logits.size(); ++token)
        if (std::isnan(logits[token]) || logits[token] == std::numeric_limits<float>::infinity())
            [[unlikely]]
            fail("the logit of token {} is {}: the weights or activations of the model are not "
                 "finite",
                 token, logits[token]);
}

// The changes of one token become one.
void join(std::vector<TokenChange>& changes, size_t first) {
    const auto begin = changes.begin() + static_cast<std::ptrdiff_t>(first);
    std::stable_sort(begin, changes.end(),
                     [](const TokenChange& a, const TokenChange& b) { return a.token < b.token; });
    size_t end = first;
    for (size_t i = first; i < changes.size(); ++i) {
        if (end > first && changes[end - 1].token == changes[i].token) {
            changes[end - 1].bias += changes[i].bias;
            changes[end - 1].penalised |= changes[i].penalised;
            changes[end - 1].taken += changes[i].taken;
        } else {
            changes[end++] = changes[i];
        }
    }
    changes.resize(end);
}

// What may be drawn, with the whole numbers that it is drawn by; throws where there is nothing.
std::vector<TokenWeight> weights_of(std::span<const float> logits, const TokenChoice& choice,
                                    std::span<const TokenChange> changes, const TokenMask* mask) {
    TNL_CHECK(!logits.empty(), "no logits to sample from");
    check_logits(logits);
    for (const TokenChange& change : changes)
        TNL_CHECK(change.token >= 0 && static_cast<size_t>(change.token) < logits.size(),
                  "{} token {}, wanted 0 to {}",
                  change.bias != 0 ? "logit_bias names" : "the sequence has", change.token,
                  logits.size() - 1);
    std::function<bool(int32_t)> allowed;
    if (mask) allowed = [mask](int32_t token) { return mask->allows(token); };
    std::vector<TokenWeight> weights = token_weights(logits, choice, changes, allowed);
    TNL_CHECK(!weights.empty(), "all {} logits are -infinity{}: no token can be chosen",
              logits.size(), mask == nullptr ? "" : ", but for tokens that may not come next");
    return weights;
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

TokenChoice token_choice(const SamplerOptions& options, std::span<const int32_t> seen,
                         std::span<const MadeToken> made, std::vector<TokenChange>& changes) {
    TokenChoice choice;
    choice.temperature = options.temperature;
    choice.top_k = options.top_k;
    choice.top_p = options.top_p;
    choice.min_p = options.min_p;
    choice.repetition_penalty = options.repetition_penalty;
    const size_t first = changes.size();
    for (const auto& [token, bias] : options.logit_bias) {
        TokenChange& change = changes.emplace_back();
        change.token = token;
        change.bias = bias;
    }
    if (options.repetition_penalty != 1)
        for (const int32_t token : seen) {
            TokenChange& change = changes.emplace_back();
            change.token = token;
            change.penalised = 1;
        }
    if (options.presence_penalty != 0 || options.frequency_penalty != 0)
        for (const MadeToken& m : made) {
            TokenChange& change = changes.emplace_back();
            change.token = m.token;
            change.taken =
                options.presence_penalty + options.frequency_penalty * static_cast<double>(m.count);
        }
    join(changes, first);
    choice.first_change = static_cast<int32_t>(first);
    choice.changes = static_cast<int32_t>(changes.size() - first);
    return choice;
}

double drawn_number(const SamplerOptions& options, uint64_t request, uint64_t position) {
    return Philox{options.seed, request}.uniform(position);
}

std::vector<Candidate> token_distribution(std::span<const float> logits,
                                          const SamplerOptions& options,
                                          std::span<const int32_t> seen,
                                          std::span<const MadeToken> made, const TokenMask* mask) {
    std::vector<TokenChange> changes;
    const TokenChoice choice = token_choice(options, seen, made, changes);
    uint64_t sum = 0;
    const std::vector<TokenWeight> weights = weights_of(logits, choice, changes, mask);
    for (const TokenWeight& w : weights) sum += w.weight;
    std::vector<Candidate> out;
    out.reserve(weights.size());
    for (const TokenWeight& w : weights)
        out.push_back({w.token, static_cast<double>(w.weight) / static_cast<double>(sum)});
    return out;
}

int32_t sample_token(std::span<const float> logits, const SamplerOptions& options,
                     std::span<const int32_t> seen, uint64_t request, uint64_t position,
                     std::span<const MadeToken> made, const TokenMask* mask) {
    std::vector<TokenChange> changes;
    const TokenChoice choice = token_choice(options, seen, made, changes);
    return draw_token(weights_of(logits, choice, changes, mask),
                      drawn_number(options, request, position));
}

} // namespace tnl
