#include "text/unicode.h"

#include "text/utf8.h"

#include <utf8proc.h>

#include <array>

namespace tnl {
namespace {

CharClass class_of(char32_t code) {
    if (code == '\n' || code == '\r') return CharClass::line;
    if ((code >= '\t' && code <= '\r') || code == 0x85) return CharClass::space;
    switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return CharClass::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return CharClass::number;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return CharClass::space;
    default:
        return CharClass::other;
    }
}

const std::array<CharClass, 128> kAscii = [] {
    std::array<CharClass, 128> out{};
    for (size_t i = 0; i < out.size(); ++i) out[i] = class_of(static_cast<char32_t>(i));
    return out;
}();

} // namespace

Char char_at(std::string_view text, size_t at) {
    if (at >= text.size()) return {};
    const auto first = static_cast<unsigned char>(text[at]);
    if (first < 0x80) return {first, 1, kAscii[first]};
    const Utf8Char c = first_utf8(text.substr(at));
    return {c.code, c.bytes, c.valid ? class_of(c.code) : CharClass::other};
}

} // namespace tnl
