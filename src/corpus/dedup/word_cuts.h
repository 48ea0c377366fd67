// How a tokenizer cuts what stands between two spaces of a simplified text. Most of what it is
// asked has been asked before, and most words are whole: both are remembered.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

// A tokenizer whose tokens depend on nothing beyond the white space around them.
class WordCutter {
  public:
    virtual ~WordCutter() = default;
    // Appends the tokens of `word`, which has no white space. Parts that are in no token are
    // dropped.
    virtual void cut(std::string_view word, std::vector<std::string_view>& tokens) = 0;
};

class WordCuts {
  public:
    explicit WordCuts(WordCutter* cutter); // null: words stay whole

    // Calls token(piece) for each token of `word`.
    template <class F> void operator()(std::string_view word, F&& token) {
        if (cutter_ == nullptr || known_whole(word)) {
            token(word);
            return;
        }
        tokens_.clear();
        cutter_->cut(word, tokens_);
        if (tokens_.size() == 1 && tokens_[0] == word) remember_whole(word);
        for (const std::string_view piece : tokens_) token(piece);
    }

  private:
    // Words of up to 15 bytes, in a table of one place for each value of a hash.
    static constexpr size_t kLongest = 15, kPlaces = size_t{1} << 15;
    struct Key {
        uint64_t low = 0, high = 0; // the bytes, then the length in the last
        bool operator==(const Key&) const = default;
        size_t place() const {
            const uint64_t mixed = (low ^ high * 0x9E3779B97F4A7C15U) * 0xD6E8FEB86659FD93U;
            return mixed >> 49;
        }
    };
    static Key key_of(std::string_view word);
    bool known_whole(std::string_view word) const {
        if (word.size() > kLongest) return false;
        const Key key = key_of(word);
        return whole_[key.place()] == key;
    }
    void remember_whole(std::string_view word) {
        if (word.size() > kLongest) return;
        const Key key = key_of(word);
        whole_[key.place()] = key;
    }

    WordCutter* cutter_;
    std::vector<Key> whole_;
    std::vector<std::string_view> tokens_;
};

inline WordCuts::Key WordCuts::key_of(std::string_view word) {
    const size_t n = word.size();
    const char* data = word.data();
    Key key;
    if (n >= 8) {
        __builtin_memcpy(&key.low, data, 8);
        if (n > 8) { // the bytes after the eighth, at most seven
            __builtin_memcpy(&key.high, data + n - 8, 8);
            key.high >>= 8 * (16 - n);
        }
    } else if (n >= 4) { // two loads that overlap
        uint32_t low, high;
        __builtin_memcpy(&low, data, 4);
        __builtin_memcpy(&high, data + n - 4, 4);
        key.low = low | uint64_t{high} << 32;
    } else if (n > 0) {
        const auto byte = [&](size_t i) { return uint64_t{static_cast<unsigned char>(data[i])}; };
        key.low = byte(0) | byte(n / 2) << 8 | byte(n - 1) << 16;
    }
    key.high |= uint64_t{n} << 56;
    return key;
}

} // namespace tnl::corpus
