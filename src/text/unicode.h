// Classes of characters, as regular expressions of tokenizers mean them (utf8proc's tables).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tnl {

enum class CharClass : uint8_t {
    letter, // \p{L}
    number, // \p{N}
    space,  // \s: the property White_Space, line ends but not CR and LF
    line,   // CR and LF
    other   // all else, bytes that are no UTF-8 included
};

struct Char {
    char32_t code = 0xFFFD;
    size_t bytes = 0; // 0: past the end
    CharClass kind = CharClass::other;
    bool is_space() const { return kind == CharClass::space || kind == CharClass::line; }
};

// The character that begins at `at`. Bytes that begin none are U+FFFD, one for each maximal piece
// (as replace_invalid_utf8 has it).
Char char_at(std::string_view text, size_t at);

} // namespace tnl
