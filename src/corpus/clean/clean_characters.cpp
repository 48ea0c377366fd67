#include "corpus/clean/clean.h"
#include "corpus/words/characters.h"

#include <unicode/uchar.h>

#include <algorithm>

namespace tnl::corpus {
namespace {

void append(std::string& out, std::string_view text, size_t at, size_t bytes) {
    out.append(text, at, bytes);
}

// Ends of lines beside \n: \v, \f, U+0085, U+2028, U+2029 (\r is seen to by the caller).
bool ends_line(char32_t c) {
    return c == '\v' || c == '\f' || c == 0x85 || c == 0x2028 || c == 0x2029;
}

// Characters that say nothing: controls, soft hyphens, zero-width spaces and marks of direction,
// private ones and those that Unicode has not, U+FFFD. Joiners stay: emoji and scripts of India and
// Iran need them.
bool says_nothing(char32_t c) {
    if (c == 0x200C || c == 0x200D) return false;
    if (c == 0xFFFD) return true;
    const auto category = U_MASK(u_charType(static_cast<UChar32>(c)));
    return (category & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK | U_GC_CN_MASK)) != 0;
}

bool is_space(char32_t c) {
    return (U_MASK(u_charType(static_cast<UChar32>(c))) & U_GC_ZS_MASK) != 0;
}

// 0 to 9 for digits that are the ASCII ones in another shape, -1 for others.
int shaped_digit(char32_t c) {
    if (c >= 0xFF10 && c <= 0xFF19) return static_cast<int>(c - 0xFF10);           // full width
    if (c >= 0x1D7CE && c <= 0x1D7FF) return static_cast<int>((c - 0x1D7CE) % 10); // bold, ...
    return -1;
}

// The pairs that UTF-8 becomes when it is read as Windows-1252 or Latin-1: a first byte of two or
// three, and a byte after it.
bool is_misread(char32_t first, char32_t second) {
    if (!((first >= 0xC2 && first <= 0xC5) || first == 0xCE || first == 0xCF || first == 0xD0 ||
          first == 0xD1 || (first >= 0xE2 && first <= 0xE9)))
        return false;
    constexpr std::u32string_view kOfWindows = U"€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ";
    return (second >= 0x80 && second <= 0xBF) ||
           kOfWindows.find(second) != std::u32string_view::npos;
}

struct LineCounts {
    size_t shown = 0, letters = 0;    // characters but spaces; letters and digits of them
    size_t replaced = 0, misread = 0; // U+FFFD; pairs of wrongly decoded characters
    size_t run = 0;                   // the longest string of A-Z a-z 0-9 + / = - _
    bool run_mixes = false; // it has small and capital letters and digits, or is of hex digits
    bool table = false;     // begins as a row of a Markdown table, or is a rule
};

LineCounts count(std::string_view line) {
    LineCounts out;
    const uint32_t* bits = character_bits();
    size_t run = 0, digits = 0, small = 0, capital = 0, hex = 0;
    char32_t before = 0;
    const size_t first = line.find_first_not_of(' ');
    out.table =
        first != std::string_view::npos &&
        (line[first] == '|' || line.find_first_not_of("-=*_ #|:+") == std::string_view::npos);
    const auto end_run = [&] {
        if (run > out.run) {
            out.run = run;
            out.run_mixes = (digits > 0 && small > 0 && capital > 0) || (hex == run && digits > 0);
        }
        run = digits = small = capital = hex = 0;
    };
    for (size_t at = 0; at < line.size();) {
        const Character c = character_at(line, at);
        at += c.bytes;
        const uint32_t b = bits[c.code];
        if (!(b & kSpace)) {
            ++out.shown;
            out.letters += (b & kWordChar) && c.code != '_';
        }
        out.replaced += c.code == 0xFFFD;
        out.misread += is_misread(before, c.code);
        before = c.code;
        const bool is_digit = c.code >= '0' && c.code <= '9',
                   is_small = c.code >= 'a' && c.code <= 'z',
                   is_capital = c.code >= 'A' && c.code <= 'Z';
        const bool encoded = is_digit || is_small || is_capital || c.code == '+' || c.code == '/' ||
                             c.code == '=' || c.code == '-' || c.code == '_';
        if (!encoded) {
            end_run();
            continue;
        }
        ++run;
        digits += is_digit;
        small += is_small;
        capital += is_capital;
        hex += is_digit || (c.code >= 'a' && c.code <= 'f') || (c.code >= 'A' && c.code <= 'F');
    }
    end_run();
    return out;
}

} // namespace

bool is_garbled(std::string_view line) {
    constexpr size_t kFew = 12, kEncoded = 100, kMarks = 3;
    const LineCounts counts = count(line);
    if (counts.replaced >= kMarks || counts.misread >= kMarks) return true;
    if (counts.run >= kEncoded && counts.run_mixes) return true;
    return !counts.table && counts.shown >= kFew && counts.letters * 4 < counts.shown;
}

void clean_characters(std::string_view text, bool characters, bool numbers, std::string& out) {
    out.clear();
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
        const Character c = character_at(text, at);
        const size_t begin = at;
        at += c.bytes;
        if (c.code >= 0x20 && c.code < 0x7F) {
            while (at < text.size() && text[at] >= 0x20 && text[at] < 0x7F)
                ++at; // negative: no ASCII
            append(out, text, begin, at - begin);
        } else if (const int digit = numbers ? shaped_digit(c.code) : -1; digit >= 0) {
            out += static_cast<char>('0' + digit);
        } else if (!characters || c.code == '\n') {
            append(out, text, begin, c.bytes);
        } else if (c.code == '\r') {
            if (at >= text.size() || text[at] != '\n') out += '\n';
        } else if (ends_line(c.code)) {
            out += '\n';
        } else if (c.code == '\t' || is_space(c.code)) {
            out += ' ';
        } else if (!says_nothing(c.code)) {
            append(out, text, begin, c.bytes);
        }
    }
}

} // namespace tnl::corpus
