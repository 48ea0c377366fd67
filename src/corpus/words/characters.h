// What characters are, as Python, spaCy and datatrove see them: one word of bits a code point.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tnl::corpus {

enum CharacterBits : uint32_t {
    // Python's str methods and re, which follow Unicode.
    kSpace = 1 << 0,       // isspace(), \s
    kAlphabetic = 1 << 1,  // isalpha()
    kWordChar = 1 << 2,    // \w
    kDecimal = 1 << 3,     // \d
    kPunctuation = 1 << 4, // category P..
    // datatrove, utils/text.py.
    kSymbol = 1 << 5,   // PUNCTUATION_SET
    kTerminal = 1 << 6, // TERMINAL_PUNCTUATION
    // spaCy, lang/char_classes.py and lang/punctuation.py.
    kLetter = 1 << 7,        // ALPHA
    kLowerLetter = 1 << 8,   // ALPHA_LOWER
    kUpperLetter = 1 << 9,   // ALPHA_UPPER
    kIcon = 1 << 10,         // LIST_ICONS
    kPrefix = 1 << 11,       // is a prefix by itself
    kSuffix = 1 << 12,       // is a suffix by itself
    kQuote = 1 << 13,        // in CONCAT_QUOTES, and no letter
    kBeforePeriod = 1 << 14, // a period after it is a suffix
    kCurrency = 1 << 15,     // after a digit it is a suffix
    kSentenceEnd = 1 << 16,  // the sentencizer's punct_chars
    kDigit = 1 << 17,        // [0-9]
    kInfixMark = 1 << 18,    // may begin an infix
};

// Bits of every code point, 0 to U+10FFFF.
const uint32_t* character_bits();

struct Character {
    char32_t code;
    uint32_t bytes;
};
// The character at text[at]; the text must be valid UTF-8.
inline Character character_at(std::string_view text, size_t at) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
    const unsigned char b = byte(0);
    if (b < 0x80) return {b, 1};
    if (b < 0xE0) return {(b & 0x1Fu) << 6 | (byte(1) & 0x3Fu), 2};
    if (b < 0xF0) return {(b & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu), 3};
    return {(b & 0x07u) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 |
                (byte(3) & 0x3Fu),
            4};
}

// Code points of valid UTF-8: Python's len().
size_t count_characters(std::string_view text);

} // namespace tnl::corpus
