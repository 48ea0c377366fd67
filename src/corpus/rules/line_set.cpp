#include "corpus/rules/line_set.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/rules/python_text.h"
#include "text/utf8.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>

namespace tnl::corpus {
namespace {

constexpr size_t kLongest = 0xFFFF; // bytes of a line

} // namespace

std::string_view LineSet::line_at(uint64_t slot) const {
    return std::string_view(text_).substr(slot >> 16, slot & kLongest);
}

LineSet::LineSet(const std::filesystem::path& file) : text_(read_file(file)) {
    if (const size_t bad = first_invalid_utf8(text_); bad != std::string::npos)
        fail("{}: invalid UTF-8 at byte {}, wanted a line for each entry", file.string(), bad);
    const auto lines = static_cast<size_t>(std::count(text_.begin(), text_.end(), '\n')) + 1;
    slots_.resize(std::bit_ceil(lines * 2));
    size_t number = 1;
    for (size_t at = 0; at < text_.size(); ++number) {
        const size_t end = std::min(text_.find('\n', at), text_.size());
        const std::string_view line = strip(std::string_view(text_).substr(at, end - at));
        const bool comment = text_[at] == '#';
        at = end + 1;
        if (line.empty() || comment) continue;
        if (line.size() > kLongest)
            fail("{}:{}: a line of {} bytes, wanted at most {}", file.string(), number, line.size(),
                 kLongest);
        const auto begin = static_cast<uint64_t>(line.data() - text_.data());
        for (size_t slot = XXH3_64bits(line.data(), line.size());; ++slot) {
            uint64_t& place = slots_[slot & (slots_.size() - 1)];
            if (place != 0 && line_at(place) == line) break;
            if (place != 0) continue;
            place = begin << 16 | line.size();
            ++size_;
            break;
        }
    }
}

bool LineSet::contains(std::string_view line) const {
    if (size_ == 0) return false;
    for (size_t slot = XXH3_64bits(line.data(), line.size());; ++slot) {
        const uint64_t place = slots_[slot & (slots_.size() - 1)];
        if (place == 0) return false;
        if (line_at(place) == line) return true;
    }
}

} // namespace tnl::corpus
