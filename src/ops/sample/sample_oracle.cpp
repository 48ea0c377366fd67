#include "ops/sample/sample.h"

#include <algorithm>
#include <limits>

namespace tnl {
namespace {

struct Score {
    int32_t token;
    float logit;
    uint64_t weight;
};

// The larger logit first, the lower id on a tie.
bool before(const Score& a, const Score& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

void keep_top_k(std::vector<Score>& scores, int64_t k) {
    if (k <= 0 || k >= std::ssize(scores)) return;
    std::vector<float> logits;
    logits.reserve(scores.size());
    for (const Score& s : scores) logits.push_back(s.logit);
    std::nth_element(logits.begin(), logits.begin() + (k - 1), logits.end(), std::greater<>());
    const float least = logits[static_cast<size_t>(k - 1)];
    std::erase_if(scores, [&](const Score& s) { return s.logit < least; });
}

// A heap yields the largest first without sorting the rest.
void keep_top_p(std::vector<Score>& scores, double top_p) {
    if (top_p >= 1) return;
    uint64_t sum = 0;
    for (const Score& s : scores) sum += s.weight;
    const uint64_t wanted = wanted_weight(top_p, sum);
    const auto after = [](const Score& a, const Score& b) { return before(b, a); };
    std::make_heap(scores.begin(), scores.end(), after);
    uint64_t kept = 0;
    auto end = scores.end();
    while (end != scores.begin() && kept < wanted) {
        std::pop_heap(scores.begin(), end, after);
        kept += (--end)->weight;
    }
    scores.erase(scores.begin(), end);
}

} // namespace

std::vector<TokenWeight> token_weights(std::span<const float> logits, const TokenChoice& choice,
                                       std::span<const TokenChange> changes,
                                       const std::function<bool(int32_t)>& allowed) {
    std::vector<Score> scores(logits.size());
    for (size_t i = 0; i < logits.size(); ++i) {
        if (!(logits[i] < std::numeric_limits<float>::infinity())) return {};
        scores[i] = {static_cast<int32_t>(i), logits[i], 0};
    }
    for (const TokenChange& change : changes) {
        float& logit = scores[static_cast<size_t>(change.token)].logit;
        logit = changed_logit(logit, change, choice.repetition_penalty);
        if (!(logit < std::numeric_limits<float>::infinity())) return {};
    }
    std::erase_if(scores, [&](const Score& s) {
        return !(s.logit > -std::numeric_limits<float>::infinity()) ||
               (allowed && !allowed(s.token));
    });
    if (scores.empty()) return {};
    const Score best = *std::min_element(scores.begin(), scores.end(), before);
    if (choice.temperature == 0) return {{best.token, kTopWeight}};
    keep_top_k(scores, choice.top_k);
    for (Score& s : scores) s.weight = token_weight(s.logit, best.logit, choice.temperature);
    keep_top_p(scores, choice.top_p);
    const uint64_t least = least_weight(choice.min_p);
    std::vector<TokenWeight> out;
    out.reserve(scores.size());
    for (const Score& s : scores)
        if (s.weight >= least) out.push_back({s.token, s.weight});
    std::ranges::sort(out, {}, &TokenWeight::token);
    return out;
}

int32_t draw_token(std::span<const TokenWeight> weights, double uniform) {
    uint64_t sum = 0;
    for (const TokenWeight& w : weights) sum += w.weight;
    if (sum == 0) return -1;
    uint64_t left = drawn_weight(uniform, sum);
    for (const TokenWeight& w : weights) {
        if (left < w.weight) return w.token;
        left -= w.weight;
    }
    return -1;
}

SampleCall check_sample(Tensor chosen, Tensor logits, const Tensor& choices,
                        const Tensor& changes) {
    const auto [N, V] = logits.dims<2>("sample: logits");
    TNL_CHECK(logits.dtype == DType::f32 && logits.contiguous(),
              "sample: logits are {} {}, wanted f32, contiguous", name_of(logits.dtype),
              logits.shape_string());
    TNL_CHECK(V <= kMostTokens, "sample: {} columns, wanted at most {}", V, kMostTokens);
    TNL_CHECK(chosen.is({N}) && chosen.dtype == DType::i32 && chosen.contiguous(),
              "sample: chosen is {} {}, wanted i32 [{}]", name_of(chosen.dtype),
              chosen.shape_string(), N);
    TNL_CHECK(choices.is({N * static_cast<int64_t>(sizeof(TokenChoice))}) &&
                  choices.dtype == DType::u8,
              "sample: choices are {} {}, wanted {} for each of {} rows", name_of(choices.dtype),
              choices.shape_string(), sizeof(TokenChoice), N);
    TNL_CHECK(changes.rank == 1 && changes.dtype == DType::u8 &&
                  changes.size() % static_cast<int64_t>(sizeof(TokenChange)) == 0,
              "sample: changes are {} {}, wanted whole ones of {} bytes", name_of(changes.dtype),
              changes.shape_string(), sizeof(TokenChange));
    return {chosen, logits, N, V};
}

namespace oracle {

void sample(Stream&, Tensor chosen, Tensor logits, Tensor choices_, Tensor changes_) {
    const SampleCall call = check_sample(chosen, logits, choices_, changes_);
    const auto* choices = reinterpret_cast<const TokenChoice*>(choices_.as<uint8_t>());
    const auto* changes = reinterpret_cast<const TokenChange*>(changes_.as<uint8_t>());
    for (int64_t n = 0; n < call.rows; ++n) {
        const TokenChoice& choice = choices[n];
        int32_t& out = chosen.as<int32_t>()[n];
        out = -1;
        if (choice.skip != 0) continue;
        out = draw_token(
            token_weights({logits.as<float>() + n * call.V, static_cast<size_t>(call.V)}, choice,
                          {changes + choice.first_change, static_cast<size_t>(choice.changes)}),
            choice.uniform);
    }
}

} // namespace oracle
} // namespace tnl
