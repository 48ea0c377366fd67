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

    static constexpr size_t kReadable = 16; // bytes of memory from the word's first on
    // Calls token(piece) for each token of `word`, which is not empty and in memory of which
    // kReadable bytes may be read.
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
    // The bytes in one number, zeros behind them: words have no zero bytes. n: 1 to 8.
    static uint64_t number(const char* data, size_t n);
    static size_t place(uint64_t mixed, int bits) {
        return (mixed * 0xD6E8FEB86659FD93U >> (64 - bits)) * 2;
    }
    bool known_whole(std::string_view word) const {
        if (word.size() <= 8) {
            const uint64_t key = number(word.data(), word.size());
            const uint64_t* places = &short_[place(key ^ key >> 32, kShortBits)];
            return places[0] == key || places[1] == key;
        }
        if (word.size() > 16) return false;
        const Key key = long_key(word);
        const Key* places = &long_[place(key.mixed(), kLongBits)];
        return places[0] == key || places[1] == key;
    }
    void remember_whole(std::string_view word);

    // Tables of two places for each value of a hash.
    static constexpr int kShortBits = 15, kLongBits = 14;
    struct Key {
        uint64_t first = 0, second = 0;
        bool operator==(const Key&) const = default;
        uint64_t mixed() const { return first ^ first >> 32 ^ second * 0x9E3779B97F4A7C15U; }
    };
    static Key long_key(std::string_view word) {
        return {number(word.data(), 8), number(word.data() + 8, word.size() - 8)};
    }

    WordCutter* cutter_;
    std::vector<uint64_t> short_; // words of at most 8 bytes
    std::vector<Key> long_;       // of at most 16
    std::vector<std::string_view> tokens_;
};

inline uint64_t WordCuts::number(const char* data, size_t n) {
    uint64_t all;
    __builtin_memcpy(&all, data, 8);
    return all & (~uint64_t{0} >> (64 - 8 * n));
}

} // namespace tnl::corpus
