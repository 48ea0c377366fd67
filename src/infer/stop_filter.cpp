#include "infer/stop_filter.h"

#include "base/check.h"
#include "text/utf8.h"

#include <algorithm>

namespace tnl {

StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {
    for (const std::string& stop : stops_) {
        if (stop.empty()) throw UsageError("a stop string is empty: it would stop at once");
        if (first_invalid_utf8(stop) != std::string::npos)
            throw UsageError(fmt::format("stop string \"{}\" is not valid UTF-8", stop));
    }
    // Where several end at the same place, the longest (earliest beginning) is cut.
    std::stable_sort(stops_.begin(), stops_.end(),
                     [](const auto& a, const auto& b) { return a.size() > b.size(); });
}

std::string StopFilter::push(std::string_view piece) {
    if (stopped()) return {};
    for (const char c : piece) {
        held_ += c;
        for (size_t i = 0; i < stops_.size(); ++i)
            if (held_.ends_with(stops_[i])) {
                found_ = i;
                std::string out = held_.substr(0, held_.size() - stops_[i].size());
                held_.clear();
                return out;
            }
    }
    const size_t keep = open_tail();
    std::string out = held_.substr(0, held_.size() - keep);
    held_.erase(0, out.size());
    return out;
}

std::string StopFilter::finish() {
    std::string out;
    out.swap(held_);
    return out;
}

size_t StopFilter::open_tail() const {
    size_t longest = 0;
    for (const std::string& stop : stops_)
        for (size_t n = std::min(stop.size() - 1, held_.size()); n > longest; --n)
            if (held_.ends_with(std::string_view(stop).substr(0, n))) {
                longest = n;
                break;
            }
    return longest;
}

} // namespace tnl
