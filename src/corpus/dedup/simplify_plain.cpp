#include "corpus/dedup/characters.h"
#include "corpus/dedup/simplify.h"

#include <array>

namespace tnl::corpus {
namespace {

std::u32string lowered(std::string_view text) {
    std::u32string out;
    for (size_t at = 0; at < text.size();) {
        const size_t begin = at;
        const char32_t c = next_character(text, at);
        if (c == 0x3A3)
            out += lower_sigma(text, begin);
        else
            out += lower(c);
    }
    return out;
}

std::u32string characters(std::string_view text) {
    std::u32string out;
    for (size_t at = 0; at < text.size();) out += next_character(text, at);
    return out;
}

// \p{Nd}+([.,...]\p{Nd}+)? becomes 0
std::u32string without_numbers(const std::u32string& text) {
    std::u32string out;
    const auto digits_end = [&](size_t i) {
        while (i < text.size() && is_digit(text[i])) ++i;
        return i;
    };
    for (size_t i = 0; i < text.size();) {
        size_t end = digits_end(i);
        if (end == i) {
            out += text[i++];
            continue;
        }
        if (end < text.size() && is_decimal_separator(text[end])) {
            const size_t fraction = digits_end(end + 1);
            if (fraction > end + 1) end = fraction;
        }
        out += U'0';
        i = end;
    }
    return out;
}

template <size_t N>
std::u32string replaced(const std::u32string& text, const std::array<std::u32string_view, N>& names,
                        std::u32string_view by) {
    std::u32string out;
    for (size_t i = 0; i < text.size();) {
        const std::u32string_view rest = std::u32string_view(text).substr(i);
        size_t length = 0;
        for (const std::u32string_view name : names)
            if (length == 0 && rest.starts_with(name)) length = name.size();
        if (length > 0)
            out += by;
        else
            out += text[i];
        i += length > 0 ? length : 1;
    }
    return out;
}

constexpr std::array<std::u32string_view, 7> kWeekdays = {
    U"monday", U"tuesday", U"wednesday", U"thursday", U"friday", U"saturday", U"sunday"};
constexpr std::array<std::u32string_view, 12> kMonths = {
    U"january", U"february", U"march",     U"april",   U"may",      U"june",
    U"july",    U"august",   U"september", U"october", U"november", U"december"};

std::u32string stripped(const std::u32string& text) {
    size_t begin = 0, end = text.size();
    while (begin < end && is_space(text[begin])) ++begin;
    while (end > begin && is_space(text[end - 1])) --end;
    return text.substr(begin, end - begin);
}

std::u32string one_space(const std::u32string& text) {
    std::u32string out;
    for (const char32_t c : text)
        if (!is_space(c))
            out += c;
        else if (out.empty() || out.back() != U' ')
            out += U' ';
    return out;
}

} // namespace

void simplify_plain(std::string_view text, std::string& out, const SimplifyOptions& options) {
    std::u32string all = options.lowercase ? lowered(text) : characters(text);
    if (options.numbers) all = without_numbers(all);
    if (options.weekdays) all = replaced(all, kWeekdays, U"WEEKDAY");
    if (options.months) all = replaced(all, kMonths, U"MONTH");
    if (options.punctuation)
        for (char32_t& c : all)
            if (is_punctuation(c)) c = U' ';
    if (options.whitespace) all = one_space(stripped(all));
    if (options.diacritics) all = without_marks(all);
    out.clear();
    for (const char32_t c : stripped(all)) append_utf8(out, c);
}

} // namespace tnl::corpus
