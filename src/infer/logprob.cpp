#include "infer/logprob.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tnl {

ScoredToken score_token(std::span<const float> logits, int32_t token, int64_t top) {
    const double most = *std::ranges::max_element(logits);
    double sum = 0;
    for (const float x : logits) sum += std::exp(x - most);
    const double whole = most + std::log(sum);
    const auto logprob = [&](int32_t id) {
        return static_cast<float>(logits[static_cast<size_t>(id)] - whole);
    };
    ScoredToken out{token, logprob(token), {}};
    const size_t n = std::min(logits.size(), static_cast<size_t>(top));
    if (n == 0) return out;
    std::vector<int32_t> ids(logits.size());
    std::iota(ids.begin(), ids.end(), 0);
    std::partial_sort(ids.begin(), ids.begin() + static_cast<int64_t>(n), ids.end(),
                      [&](int32_t a, int32_t b) {
                          const float x = logits[static_cast<size_t>(a)];
                          const float y = logits[static_cast<size_t>(b)];
                          return x > y || (x == y && a < b);
                      });
    for (size_t i = 0; i < n; ++i) out.top.emplace_back(ids[i], logprob(ids[i]));
    return out;
}

} // namespace tnl
