// Windows of bytes that stand in several places, found without holding the text: what a suffix
// array of all of it would say of substrings of at least a length (Lee et al. 2022, arXiv
// 2107.06499), in memory and time that do not depend on its size.
//
// Of every `length` bytes in a row the k-gram with the least hash (k = length / 2) is an anchor, so
// that two equal windows have anchors of equal hash ("winnowing", Schleimer et al. 2003). Only
// where an anchor's hash is there twice the windows around it are looked at, each by a hash of 122
// bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace tnl::corpus {

struct Anchor {
    uint64_t hash; // spread evenly over 64 bits
    uint32_t at;   // where its k-gram begins
};

// One for each thread.
class AnchorFinder {
  public:
    explicit AnchorFinder(size_t length);
    // None where the text is shorter than `length`. Valid until the next call.
    const std::vector<Anchor>& operator()(std::string_view text);
    size_t gram() const { return gram_; }

  private:
    size_t length_, gram_;
    uint64_t leaving_; // what the byte that leaves a k-gram has been multiplied by
    struct Candidate {
        uint64_t hash;
        uint32_t at;
    };
    std::vector<Candidate> queue_; // of the window: rising hashes, a ring
    std::vector<Anchor> anchors_;
};

struct WindowHash {
    uint64_t high, low; // each below 2^61, high shifted so that it is spread over 64 bits
    bool operator==(const WindowHash&) const = default;
};

// Hashes of windows of `length` bytes that begin at [first, last] of a text, in order.
// take(begin, hash)
class WindowHasher {
  public:
    explicit WindowHasher(size_t length);
    template <class Take>
    void operator()(std::string_view text, size_t first, size_t last, const Take& take) const {
        uint64_t a = 0, b = 0;
        for (size_t i = first; i < first + length_; ++i) {
            a = step(a, kBaseA, byte(text, i));
            b = step(b, kBaseB, byte(text, i));
        }
        for (size_t begin = first;; ++begin) {
            take(begin, WindowHash{a << 3, b});
            if (begin == last) return;
            a = step(without(a, leavingA_, byte(text, begin)), kBaseA, byte(text, begin + length_));
            b = step(without(b, leavingB_, byte(text, begin)), kBaseB, byte(text, begin + length_));
        }
    }

  private:
    static constexpr uint64_t kPrime = (uint64_t{1} << 61) - 1;
    // Digits of pi and e, below the prime.
    static constexpr uint64_t kBaseA = 0x0243F6A8885A308D, kBaseB = 0x02B7E151628AED2A;
    static uint64_t byte(std::string_view text, size_t i) {
        return static_cast<unsigned char>(text[i]) + uint64_t{1};
    }
    static uint64_t modulo(unsigned __int128 x) {
        const uint64_t sum = (static_cast<uint64_t>(x) & kPrime) + static_cast<uint64_t>(x >> 61);
        return sum >= kPrime ? sum - kPrime : sum;
    }
    static uint64_t times(uint64_t x, uint64_t y) {
        return modulo(static_cast<unsigned __int128>(x) * y);
    }
    static uint64_t step(uint64_t hash, uint64_t base, uint64_t byte) {
        return modulo(static_cast<unsigned __int128>(hash) * base + byte);
    }
    static uint64_t without(uint64_t hash, uint64_t leaving, uint64_t byte) {
        const uint64_t gone = times(leaving, byte);
        return hash >= gone ? hash - gone : hash + kPrime - gone;
    }
    size_t length_;
    uint64_t leavingA_ = 1, leavingB_ = 1; // the bases to the power of length - 1
};

// [first, last] of the beginnings of windows around the anchors (rising places) of a text: what has
// to be hashed. Ranges do not overlap.
struct WindowRange {
    size_t first, last;
};
void windows_around(std::span<const uint32_t> anchors, size_t text_bytes, size_t length,
                    size_t gram, std::vector<WindowRange>& out);

} // namespace tnl::corpus
