// UTF-8: validation, repair, and a stream that never splits a character.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tnl {

// Offset of the first byte that is not part of valid UTF-8 (RFC 3629: no overlong forms, no
// surrogates, nothing past U+10FFFF), or npos.
size_t first_invalid_utf8(std::string_view text);

// What a text begins with: a character and its code, or a maximal invalid piece (code U+FFFD).
struct Utf8Char {
    char32_t code = 0xFFFD;
    size_t bytes = 0; // 0: the text is empty
    bool valid = false;
};
Utf8Char first_utf8(std::string_view text);

// The text with every maximal invalid piece replaced by U+FFFD (the Unicode standard's
// "substitution of maximal subparts"). `replaced`, if given, is increased by their number.
std::string replace_invalid_utf8(std::string_view text, int64_t* replaced = nullptr);

// Bytes in, whole characters out: an incomplete last character is held back until the rest comes.
// Invalid bytes come out as U+FFFD.
class Utf8Stream {
  public:
    std::string feed(std::string_view bytes);
    std::string finish(); // what was held back, as U+FFFD if it stayed incomplete
    size_t held() const { return held_.size(); }

  private:
    std::string held_;
};

} // namespace tnl
