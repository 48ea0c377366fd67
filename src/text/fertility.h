// How many tokens a tokenizer makes of texts, and of what kind.
#pragma once

#include "text/tokenizer.h"

#include <cstdint>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace tnl {

struct Fertility {
    int64_t documents = 0, bytes = 0, characters = 0; // code points
    int64_t words =
        0; // of letters, digits and marks in a row; a Chinese or Japanese character is one
    int64_t tokens = 0;
    int64_t byte_tokens = 0;      // pieces that are a byte of a character without one of its own
    int64_t split_characters = 0; // characters of several such
    Fertility& operator+=(const Fertility& more);

    double tokens_per_word() const { return ratio(tokens, words); }
    double bytes_per_token() const { return ratio(bytes, tokens); }
    double characters_per_token() const { return ratio(characters, tokens); }

  private:
    static double ratio(int64_t a, int64_t b) {
        return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b);
    }
};

class FertilityCounter {
  public:
    explicit FertilityCounter(const Tokenizer& tokenizer);
    // `text` is valid UTF-8; counts add up.
    void add(std::string_view text, Fertility& counts) const;

  private:
    const Tokenizer& tokenizer_;
    std::vector<bool> is_byte_; // by id
};

} // namespace tnl
