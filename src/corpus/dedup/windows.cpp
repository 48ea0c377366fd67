#include "corpus/dedup/windows.h"

#include "base/check.h"

#include <algorithm>

namespace tnl::corpus {
namespace {

constexpr uint64_t kBase = 0x9E3779B97F4A7C15;

// A polynomial's value modulo 2^64 has poor low bits; all of these are fine.
uint64_t mix(uint64_t x) {
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93;
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93;
    return x ^ x >> 32;
}

} // namespace

AnchorFinder::AnchorFinder(size_t length) : length_(length), gram_(length / 2), leaving_(1) {
    TNL_CHECK(length >= 8, "windows of {} bytes, wanted 8 or more", length);
    for (size_t i = 1; i < gram_; ++i) leaving_ *= kBase;
}

// The least of the last `window` k-grams, by a queue of those that may become it: hashes rise from
// its head to its tail. An anchor stays one as long as it is in the window and none is less; then
// the last of the least follows it, so that a run of one byte does not have an anchor everywhere.
const std::vector<Anchor>& AnchorFinder::operator()(std::string_view text) {
    TNL_CHECK(text.size() < (size_t{1} << 32), "a document of {} bytes, wanted less than 4 GiB",
              text.size());
    anchors_.clear();
    if (text.size() < length_) return anchors_;
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]) + uint64_t{1}; };
    const size_t window = length_ - gram_ + 1;
    queue_.resize(window + 1);
    size_t head = 0, tail = 0; // queue_[head .. tail), around its end
    const auto next = [&](size_t i) { return i + 1 == queue_.size() ? 0 : i + 1; };
    const auto before = [&](size_t i) { return i == 0 ? queue_.size() - 1 : i - 1; };
    uint64_t hash = 0;
    for (size_t i = 0; i < gram_; ++i) hash = hash * kBase + byte(i);
    for (size_t at = 0;; ++at) {
        const uint64_t mixed = mix(hash);
        if (head != tail && queue_[head].at + window <= at) head = next(head);
        while (head != tail && queue_[before(tail)].hash > mixed) tail = before(tail);
        queue_[tail] = {mixed, static_cast<uint32_t>(at)};
        tail = next(tail);
        const bool stays = !anchors_.empty() && anchors_.back().at + window > at &&
                           anchors_.back().hash == queue_[head].hash;
        if (at + 1 >= window && !stays) {
            size_t last = head;
            while (next(last) != tail && queue_[next(last)].hash == queue_[head].hash)
                last = next(last);
            anchors_.push_back({queue_[last].hash, queue_[last].at});
        }
        if (at + gram_ == text.size()) return anchors_;
        hash = (hash - byte(at) * leaving_) * kBase + byte(at + gram_);
    }
}

WindowHasher::WindowHasher(size_t length) : length_(length) {
    for (size_t i = 1; i < length; ++i) {
        leavingA_ = times(leavingA_, kBaseA);
        leavingB_ = times(leavingB_, kBaseB);
    }
}

void windows_around(std::span<const uint32_t> anchors, size_t text_bytes, size_t length,
                    size_t gram, std::vector<WindowRange>& out) {
    out.clear();
    if (text_bytes < length) return;
    for (const uint32_t at : anchors) {
        const size_t before = length - gram; // bytes of a window in front of its anchor, at most
        const size_t first = at > before ? at - before : 0;
        const size_t last = std::min<size_t>(at, text_bytes - length);
        if (!out.empty() && first <= out.back().last + 1)
            out.back().last = std::max(out.back().last, last);
        else
            out.push_back({first, last});
    }
}

} // namespace tnl::corpus
