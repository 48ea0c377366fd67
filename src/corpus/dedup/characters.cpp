#include "corpus/dedup/characters.h"

#include "base/check.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>

#include <algorithm>
#include <array>

namespace tnl::corpus {
namespace {

// datatrove's PUNCTUATION: ASCII's and these, and the control characters other than \t and \n.
constexpr std::u32string_view kPunctuation =
    U"\u00AB\u00B4\u00BB\u2013\u2014\u2019\u201C\u201D\u201E\u2026\u2236\u2501\u25BA\u3001\u3002"
    U"\u3008\u3009\u300A\u300B\u300C\u300D\u3010\u3011\uFF01\uFF05\uFF08\uFF09\uFF0C\uFF0E\uFF11"
    U"\uFF1A\uFF1B\uFF1F\uFF5E";

const UNormalizer2* nfd() {
    static const UNormalizer2* instance = [] {
        UErrorCode error = U_ZERO_ERROR;
        const UNormalizer2* found = unorm2_getNFDInstance(&error);
        if (U_FAILURE(error)) fail("ICU has no data for NFD: {}", u_errorName(error));
        return found;
    }();
    return instance;
}

UChar32 code(char32_t character) { return static_cast<UChar32>(character); }

bool is_mark(char32_t character) { return u_charType(code(character)) == U_NON_SPACING_MARK; }
bool is_cased(char32_t c) { return u_hasBinaryProperty(code(c), UCHAR_CASED); }
bool is_case_ignorable(char32_t c) { return u_hasBinaryProperty(code(c), UCHAR_CASE_IGNORABLE); }

std::u32string from_utf16(std::u16string_view text) {
    std::u32string out;
    for (size_t i = 0; i < text.size(); ++i) {
        char32_t c = text[i];
        if (c >= 0xD800 && c < 0xDC00 && i + 1 < text.size())
            c = 0x10000 + ((c - 0xD800) << 10) + (text[++i] - char32_t{0xDC00});
        out += c;
    }
    return out;
}

void append_utf16(std::u16string& out, char32_t c) {
    if (c >= 0x10000) {
        out += static_cast<char16_t>(0xD7C0 + (c >> 10));
        c = 0xDC00 + (c & 0x3FF);
    }
    out += static_cast<char16_t>(c);
}

std::u32string decomposed(char32_t character) {
    std::array<UChar, 32> buffer{};
    UErrorCode error = U_ZERO_ERROR;
    const int32_t length = unorm2_getDecomposition(nfd(), code(character), buffer.data(),
                                                   static_cast<int32_t>(buffer.size()), &error);
    if (U_FAILURE(error)) fail("ICU does not decompose: {}", u_errorName(error));
    if (length < 0) return {character};
    return from_utf16({buffer.data(), static_cast<size_t>(length)});
}

} // namespace

char32_t next_character(std::string_view text, size_t& at) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const char32_t first = byte(at++);
    if (first < 0x80) return first;
    const size_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC2 ? 1 : 0;
    if (more == 0 || first > 0xF4 || at + more > text.size()) return 0xFFFD;
    char32_t c = first & (0x3F >> more);
    for (size_t i = 0; i < more; ++i) {
        if ((byte(at + i) & 0xC0) != 0x80) return 0xFFFD;
        c = c << 6 | (byte(at + i) & 0x3F);
    }
    at += more;
    return c;
}

void append_utf8(std::string& out, char32_t c) {
    const auto put = [&](char32_t byte) { out += static_cast<char>(byte); };
    if (c < 0x80) {
        put(c);
    } else if (c < 0x800) {
        put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
    } else {
        put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F));
        put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
    }
}

bool is_space(char32_t c) {
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31);
    const UCharDirection direction = u_charDirection(code(c));
    return u_charType(code(c)) == U_SPACE_SEPARATOR || direction == U_WHITE_SPACE_NEUTRAL ||
           direction == U_BLOCK_SEPARATOR || direction == U_SEGMENT_SEPARATOR;
}

bool is_punctuation(char32_t c) {
    if (c < 0x80)
        return (c != 9 && c != 10 && c < 32) || c == 127 || (c > 32 && c < '0') ||
               (c > '9' && c < 'A') || (c > 'Z' && c < 'a') || c > 'z';
    return c < 0xA0 || std::binary_search(kPunctuation.begin(), kPunctuation.end(), c);
}

bool is_digit(char32_t c) {
    return c < 0x80 ? c >= '0' && c <= '9' : u_charType(code(c)) == U_DECIMAL_DIGIT_NUMBER;
}

bool is_decimal_separator(char32_t c) {
    return c == '.' || c == ',' || c == 0x60C || c == 0x66B || (c >= 0x2396 && c <= 0x2398);
}

std::u32string lower(char32_t c) {
    if (c == 0x130) return U"i\u0307"; // the one character whose lower case is two
    return {static_cast<char32_t>(u_tolower(code(c)))};
}

char32_t lower_sigma(std::string_view text, size_t at) {
    // Unicode 3.13, Final_Sigma, as CPython has it: the neighbours that are not case-ignorable.
    char32_t before = 0;
    for (size_t i = at; i > 0;) {
        do --i;
        while (i > 0 && (text[i] & '\xC0') == '\x80');
        size_t begin = i;
        const char32_t c = next_character(text, begin);
        if (is_case_ignorable(c)) continue;
        before = c;
        break;
    }
    if (!is_cased(before)) return 0x3C3;
    size_t i = at;
    next_character(text, i);
    while (i < text.size()) {
        const char32_t c = next_character(text, i);
        if (!is_case_ignorable(c)) return is_cased(c) ? 0x3C3 : 0x3C2;
    }
    return 0x3C2;
}

std::u32string without_marks(const std::u32string& text) {
    std::u16string in;
    for (const char32_t c : text) append_utf16(in, c);
    std::u16string out(in.size() * 4 + 16, u'\0'); // NFD has at most three times the units
    UErrorCode error = U_ZERO_ERROR;
    const int32_t length = unorm2_normalize(nfd(), in.data(), static_cast<int32_t>(in.size()),
                                            out.data(), static_cast<int32_t>(out.size()), &error);
    if (U_FAILURE(error)) fail("ICU does not normalise: {}", u_errorName(error));
    out.resize(static_cast<size_t>(length));
    std::u32string all = from_utf16(out);
    std::erase_if(all, is_mark);
    return all;
}

Simplified::Kind SimplifiedCharacters::classify(char32_t character, std::string& text) {
    text.clear();
    if (character == 0x3A3) return Simplified::sigma;
    if (is_digit(character)) return Simplified::digit;
    if (is_punctuation(character) || is_space(character)) return Simplified::space;
    for (const char32_t low : lower(character))
        for (const char32_t c : decomposed(low)) {
            if (is_mark(c)) continue;
            if (u_getCombiningClass(code(c)) != 0) return Simplified::reordered;
            append_utf8(text, c);
        }
    std::string itself;
    append_utf8(itself, character);
    return text == itself ? Simplified::same : Simplified::other;
}

SimplifiedCharacters::SimplifiedCharacters() {
    std::string text;
    for (char32_t c = 0; c < 0x20000; ++c) {
        const bool surrogate = c >= 0xD800 && c < 0xE000;
        const Simplified::Kind kind = surrogate ? Simplified::same : classify(c, text);
        const bool becomes = kind == Simplified::other;
        entries_.push_back({kind, static_cast<uint8_t>(becomes ? text.size() : 0),
                            static_cast<uint32_t>(pool_.size())});
        if (becomes) pool_ += text;
    }
}

const SimplifiedCharacters& SimplifiedCharacters::table() {
    static const SimplifiedCharacters instance;
    return instance;
}

Simplified::Kind SimplifiedCharacters::kind_of(char32_t character) {
    std::string text;
    return classify(character, text);
}

std::string_view SimplifiedCharacters::beyond(char32_t character) {
    thread_local std::string text;
    return classify(character, text) == Simplified::other ? std::string_view(text) : "";
}

} // namespace tnl::corpus
