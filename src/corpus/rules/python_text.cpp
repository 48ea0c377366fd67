#include "corpus/rules/python_text.h"

#include "base/check.h"
#include "corpus/words/byte_masks.h"

#include <unicode/ucasemap.h>

#include <cstring>
#include <memory>

namespace tnl::corpus {
namespace {

bool is_space(std::string_view text, size_t at, size_t& bytes) {
    const Character c = character_at(text, at);
    bytes = c.bytes;
    return (character_bits()[c.code] & kSpace) != 0;
}

// Where the last character begins.
size_t last_character(std::string_view text) {
    size_t at = text.size() - 1;
    while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    return at;
}

// The bytes of a line's end at text[at], 0 if it is none.
size_t line_end(std::string_view text, size_t at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte >= 0x80) {
        const std::string_view rest = text.substr(at);
        if (byte == 0xC2) return rest.starts_with("\u0085") ? 2 : 0;
        return rest.starts_with("\u2028") || rest.starts_with("\u2029") ? 3 : 0;
    }
    if (byte == '\r') return text.substr(at).starts_with("\r\n") ? 2 : 1;
    return (byte >= '\n' && byte <= '\f') || (byte >= 0x1C && byte <= 0x1E) ? 1 : 0;
}

// Bytes that may begin the end of a line.
constexpr bool may_end_line(unsigned char byte) {
    return byte <= 0x1E || byte == 0xC2 || byte == 0xE2;
}

} // namespace

std::string_view strip_left(std::string_view text) {
    size_t at = 0;
    for (size_t bytes = 0; at < text.size() && is_space(text, at, bytes);) at += bytes;
    return text.substr(at);
}

std::string_view strip_right(std::string_view text) {
    while (!text.empty()) {
        const size_t last = last_character(text);
        size_t bytes = 0;
        if (!is_space(text, last, bytes)) break;
        text = text.substr(0, last);
    }
    return text;
}

std::string_view strip(std::string_view text) { return strip_left(strip_right(text)); }

void split_lines(std::string_view text, std::vector<std::string_view>& lines) {
    lines.clear();
    size_t begin = 0;
    for_bytes(text, 0, may_end_line, [&](size_t at) {
        const size_t end = line_end(text, at);
        if (end == 0) return at + 1;
        lines.push_back(text.substr(begin, at - begin));
        return begin = at + end;
    });
    if (begin < text.size()) lines.push_back(text.substr(begin));
}

void split_newlines(std::string_view text, std::vector<std::string_view>& lines) {
    split_newline_runs(text, 0, lines);
}

void split_newline_runs(std::string_view text, size_t least, std::vector<std::string_view>& parts) {
    parts.clear();
    size_t begin = 0;
    for (size_t at = 0;;) {
        at = text.find('\n', at);
        if (at == std::string_view::npos) break;
        size_t end = at + 1;
        while (least > 0 && end < text.size() && text[end] == '\n') ++end;
        if (end - at >= least) {
            parts.push_back(text.substr(begin, at - begin));
            begin = end;
        }
        at = end;
    }
    parts.push_back(text.substr(begin));
}

size_t count_pieces(std::string_view text) {
    size_t count = 0;
    uint8_t before = 1;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const uint8_t space = byte <= ' ';
        count += before & (space ^ 1);
        before = space;
    }
    return count;
}

void to_lower(std::string_view text, std::string& out) {
    out.resize(text.size());
    bool ascii = true;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        ascii = ascii && static_cast<unsigned char>(c) < 0x80;
        out[i] = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    if (ascii) return;
    UErrorCode status = U_ZERO_ERROR;
    const std::unique_ptr<UCaseMap, void (*)(UCaseMap*)> map(ucasemap_open("", 0, &status),
                                                             ucasemap_close);
    // Some letters have a longer form, at most three times as long.
    out.resize(text.size() * 3);
    const int32_t size =
        ucasemap_utf8ToLower(map.get(), out.data(), static_cast<int32_t>(out.size()), text.data(),
                             static_cast<int32_t>(text.size()), &status);
    TNL_CHECK(U_SUCCESS(status), "ICU does not lower a text of {} bytes: {}", text.size(),
              u_errorName(status));
    out.resize(static_cast<size_t>(size));
}

size_t count_of(std::string_view text, std::string_view what) {
    size_t count = 0;
    for (size_t at = text.find(what); at != std::string_view::npos;
         at = text.find(what, at + what.size()))
        ++count;
    return count;
}

uint32_t last_bits(std::string_view text) {
    if (text.empty()) return 0;
    return character_bits()[character_at(text, last_character(text)).code];
}

} // namespace tnl::corpus
