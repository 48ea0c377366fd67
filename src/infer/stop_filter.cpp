#include "infer/stop_filter.h"

#include "base/check.h"

#include <algorithm>

namespace tnl {
namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0u) == 0x80u; }

// Lead bytes followed by the right number of continuation bytes: enough to know that no stop string
// begins or ends inside a character.
bool whole_characters(std::string_view text) {
    for (size_t i = 0; i < text.size();) {
        const auto lead = static_cast<unsigned char>(text[i]);
        const size_t length = lead < 0x80   ? 1
                              : lead < 0xC0 ? 0
                              : lead < 0xE0 ? 2
                              : lead < 0xF0 ? 3
                              : lead < 0xF8 ? 4
                                            : 0;
        if (length == 0 || i + length > text.size()) return false;
        for (size_t k = 1; k < length; ++k)
            if (!is_continuation(text[i + k])) return false;
        i += length;
    }
    return true;
}

} // namespace

StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {
    for (const std::string& stop : stops_) {
        if (stop.empty()) throw UsageError("a stop string is empty: it would stop at once");
        if (!whole_characters(stop))
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
