#include "text/utf8.h"

namespace tnl {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

enum class Piece { character, invalid, incomplete };

// What begins at text[at], and its length in bytes: a whole character, a maximal invalid piece, or
// a prefix of a valid character that the text ends in.
Piece next_piece(std::string_view text, size_t at, size_t& length) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
    const unsigned char b = byte(0);
    length = 1;
    if (b < 0x80) return Piece::character;
    size_t wanted = 0;
    unsigned char low = 0x80, high = 0xBF; // bounds of the second byte
    if (b >= 0xC2 && b <= 0xDF) {
        wanted = 2;
    } else if (b >= 0xE0 && b <= 0xEF) {
        wanted = 3;
        if (b == 0xE0) low = 0xA0;
        if (b == 0xED) high = 0x9F;
    } else if (b >= 0xF0 && b <= 0xF4) {
        wanted = 4;
        if (b == 0xF0) low = 0x90;
        if (b == 0xF4) high = 0x8F;
    } else {
        return Piece::invalid;
    }
    for (; length < wanted; ++length) {
        if (at + length == text.size()) return Piece::incomplete;
        if (byte(length) < low || byte(length) > high) return Piece::invalid;
        low = 0x80;
        high = 0xBF;
    }
    return Piece::character;
}

} // namespace

size_t first_invalid_utf8(std::string_view text) {
    for (size_t at = 0, length = 0; at < text.size(); at += length)
        if (next_piece(text, at, length) != Piece::character) return at;
    return std::string_view::npos;
}

Utf8Char first_utf8(std::string_view text) {
    if (text.empty()) return {};
    Utf8Char out;
    out.valid = next_piece(text, 0, out.bytes) == Piece::character;
    if (!out.valid) return out;
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    constexpr unsigned char kFirst[] = {0x7F, 0x7F, 0x1F, 0x0F, 0x07}; // bits of the first byte
    out.code = byte(0) & kFirst[out.bytes];
    for (size_t i = 1; i < out.bytes; ++i) out.code = out.code << 6 | (byte(i) & 0x3F);
    return out;
}

std::string replace_invalid_utf8(std::string_view text, int64_t* replaced) {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0, length = 0; at < text.size(); at += length) {
        if (next_piece(text, at, length) == Piece::character) {
            out += text.substr(at, length);
        } else {
            out += kReplacement;
            if (replaced) ++*replaced;
        }
    }
    return out;
}

std::string Utf8Stream::feed(std::string_view bytes) {
    held_ += bytes;
    std::string out;
    size_t at = 0;
    for (size_t length = 0; at < held_.size(); at += length) {
        const Piece piece = next_piece(held_, at, length);
        if (piece == Piece::incomplete) break;
        if (piece == Piece::character)
            out.append(held_, at, length);
        else
            out += kReplacement;
    }
    held_.erase(0, at);
    return out;
}

std::string Utf8Stream::finish() {
    if (held_.empty()) return {};
    held_.clear();
    return std::string(kReplacement);
}

} // namespace tnl
