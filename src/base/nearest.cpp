#include "base/nearest.h"

#include <algorithm>

namespace tnl {

int edit_distance(std::string_view a, std::string_view b) {
    const size_t n = b.size();
    std::vector<int> before(n + 1), last(n + 1), now(n + 1);
    for (size_t j = 0; j <= n; ++j) last[j] = static_cast<int>(j);
    for (size_t i = 1; i <= a.size(); ++i) {
        now[0] = static_cast<int>(i);
        for (size_t j = 1; j <= n; ++j) {
            const int replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            now[j] = std::min({replaced, last[j] + 1, now[j - 1] + 1});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = std::min(now[j], before[j - 2] + 1);
        }
        before.swap(last);
        last.swap(now);
    }
    return last[n];
}

static std::string_view last_part(std::string_view key) {
    const size_t dot = key.rfind('.');
    return dot == std::string_view::npos ? key : key.substr(dot + 1);
}

std::string nearest(std::string_view written, const std::vector<std::string>& candidates) {
    std::string best;
    int best_cost = 0;
    for (const std::string& candidate : candidates) {
        // Twice the distance, so that a whole match wins against one of the last part.
        const int whole = 2 * edit_distance(written, candidate);
        const int part = 2 * edit_distance(last_part(written), last_part(candidate)) + 1;
        const int cost = std::min(whole, part);
        if (best.empty() || cost < best_cost) {
            best = candidate;
            best_cost = cost;
        }
    }
    return best;
}

} // namespace tnl
