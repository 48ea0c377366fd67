#include "text/cl100k_split.h"

#include "text/unicode.h"

namespace tnl {
namespace {

// The first byte after `at` where a character is not as wanted.
template <class Wanted> size_t skip(std::string_view text, size_t at, Wanted wanted) {
    for (Char c = char_at(text, at); c.bytes != 0 && wanted(c); c = char_at(text, at))
        at += c.bytes;
    return at;
}

bool is_letter(const Char& c) { return c.kind == CharClass::letter; }
bool is_other(const Char& c) { return c.bytes != 0 && c.kind == CharClass::other; }
bool is_line(const Char& c) { return c.kind == CharClass::line; }

char32_t lower(char32_t c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; }

// After an apostrophe: the end of s, t, m, d, re, ve or ll in either case; `at` where there is
// none.
size_t contraction_end(std::string_view text, size_t at) {
    const Char first = char_at(text, at);
    // U+017F, the long s, is another case of s.
    const char32_t a = first.code == 0x17F ? U's' : lower(first.code);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return at + first.bytes;
    const Char second = char_at(text, at + first.bytes);
    const char32_t b = lower(second.code);
    const bool two = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    return two ? at + first.bytes + second.bytes : at;
}

size_t symbols_end(std::string_view text, size_t at) {
    return skip(text, skip(text, at, is_other), is_line);
}

// White space that no word or symbol takes: up to its last line end; else all but the last
// character, which the word after it may want; else all.
size_t space_end(std::string_view text, size_t begin) {
    size_t at = begin, last = begin, after_line = begin;
    for (Char c = char_at(text, at); c.bytes != 0 && c.is_space(); c = char_at(text, at)) {
        last = at;
        at += c.bytes;
        if (is_line(c)) after_line = at;
    }
    if (after_line != begin) return after_line;
    return at == text.size() || last == begin ? at : last;
}

} // namespace

size_t cl100k_piece_end(std::string_view text, size_t begin) {
    const Char c = char_at(text, begin);
    const size_t next = begin + c.bytes;
    switch (c.kind) {
    case CharClass::letter:
        return skip(text, next, is_letter);
    case CharClass::number:
        return skip(text, next, [left = 2](const Char& n) mutable {
            return n.kind == CharClass::number && left-- > 0;
        });
    case CharClass::line:
        return space_end(text, begin);
    case CharClass::space:
    case CharClass::other:
        break;
    }
    if (c.code == '\'')
        if (const size_t end = contraction_end(text, next); end != next) return end;
    const Char after = char_at(text, next);
    if (after.bytes != 0 && is_letter(after)) return skip(text, next, is_letter);
    if (c.kind == CharClass::other) return symbols_end(text, next);
    return c.code == ' ' && is_other(after) ? symbols_end(text, next) : space_end(text, begin);
}

} // namespace tnl
