#include "corpus/words/splitter.h"

#include <algorithm>
#include <array>

namespace tnl::corpus {
namespace {

// spaCy's LIST_UNITS; two that it writes as one word are one.
constexpr std::u32string_view kUnits[] = {
    U"km",  U"km²",  U"km³",  U"m",    U"m²",  U"m³",   U"dm",   U"dm²",  U"dm³",  U"cm",   U"cm²",
    U"cm³", U"mm",   U"mm²",  U"mm³",  U"ha",  U"µm",   U"nm",   U"yd",   U"in",   U"ft",   U"kg",
    U"g",   U"mg",   U"µg",   U"t",    U"lb",  U"oz",   U"m/s",  U"km/h", U"kmh",  U"mph",  U"hPa",
    U"Pa",  U"mbar", U"mb",   U"MB",   U"kb",  U"KB",   U"gb",   U"GB",   U"tb",   U"TB",   U"T",
    U"G",   U"M",    U"K",    U"%",    U"км",  U"км²",  U"км³",  U"м",    U"м²",   U"м³",   U"дм",
    U"дм²", U"дм³",  U"см",   U"см²",  U"см³", U"мм",   U"мм²",  U"мм³",  U"нм",   U"кг",   U"г",
    U"мг",  U"м/с",  U"км/ч", U"кПа",  U"Па",  U"мбар", U"Кб",   U"КБ",   U"кб",   U"Мб",   U"МБ",
    U"мб",  U"Гб",   U"ГБ",   U"гб",   U"Тб",  U"ТБ",   U"тбكم", U"كم²",  U"كم³",  U"م",    U"م²",
    U"م³",  U"سم",   U"سم²",  U"سم³",  U"مم",  U"مم²",  U"مم³",  U"كم",   U"غرام", U"جرام", U"جم",
    U"كغ",  U"ملغ",  U"كوب",  U"اكواب"};
constexpr size_t kLongestUnit = 5;

} // namespace

Splitter::Splitter(WordRules rules)
    : cases_(rules == WordRules::english  ? english_cases()
             : rules == WordRules::common ? common_cases()
                                          : SpecialCases{}),
      digit_before_hyphen_(rules == WordRules::english), bits_(character_bits()) {
    may_be_case_.resize(size_t{1} << 16);
    for (const auto& [text, pieces] : cases_) {
        longest_case_ = std::max(longest_case_, text.size());
        may_be_case_[case_filter(text)] = true;
    }
}

// 16 bits of a text's beginning, end, and size.
size_t Splitter::case_filter(std::string_view text) {
    uint64_t bits = text.size();
    for (const size_t i : {size_t{0}, text.size() / 2, text.size() - 1})
        bits = bits << 8 | static_cast<unsigned char>(text[i]);
    return (bits * 0x9E3779B97F4A7C15) >> 48;
}

void Splitter::decode(std::string_view piece) {
    piece_ = piece;
    chars_.clear();
    for (size_t at = 0; at < piece.size();) {
        const auto [code, bytes] = character_at(piece, at);
        chars_.push_back({code, bits_[code], static_cast<uint32_t>(at)});
        at += bytes;
    }
    chars_.push_back({0, 0, static_cast<uint32_t>(piece.size())});
}

std::string_view Splitter::slice(size_t begin, size_t end) const {
    return piece_.substr(chars_[begin].offset, chars_[end].offset - chars_[begin].offset);
}

void Splitter::push(size_t begin, size_t end, std::vector<uint32_t>& lengths) const {
    lengths.push_back(chars_[end].offset - chars_[begin].offset);
}

const std::vector<std::string>* Splitter::find_case(size_t begin, size_t end) const {
    const std::string_view text = slice(begin, end);
    if (text.size() > longest_case_ || !may_be_case_[case_filter(text)]) return nullptr;
    const auto found = cases_.find(std::string(text));
    return found == cases_.end() ? nullptr : &found->second;
}

size_t Splitter::prefix(size_t begin, size_t end) const {
    if (is(begin, kPrefix)) return 1;
    const char32_t c = chars_[begin].code;
    const auto next = [&](size_t i) { return begin + i < end ? chars_[begin + i].code : 0; };
    if (c == '+') return begin + 1 < end && is(begin + 1, kDigit) ? 0 : 1;
    if (c == '.') {
        size_t dots = 1;
        while (next(dots) == '.') ++dots;
        return dots > 1 ? dots : 0;
    }
    if (c == 'U' && next(1) == 'S' && next(2) == '$') return 3;
    return (c == 'C' || c == 'A') && next(1) == '$' ? 2 : 0;
}

size_t Splitter::unit(size_t begin, size_t end) const {
    for (size_t length = std::min(kLongestUnit, end - begin - 1); length > 0; --length) {
        if (!is(end - length - 1, kDigit)) continue;
        for (const std::u32string_view unit : kUnits) {
            if (unit.size() != length) continue;
            size_t same = 0;
            while (same < length && chars_[end - length + same].code == unit[same]) ++same;
            if (same == length) return length;
        }
    }
    return 0;
}

// The longest, as the leftmost match of a pattern that is tied to the end.
size_t Splitter::suffix(size_t begin, size_t end) const {
    if (begin == end) return 0;
    const auto at = [&](size_t from_end) { // 1: the last
        return from_end <= end - begin ? chars_[end - from_end].code : 0;
    };
    const auto has = [&](size_t from_end, uint32_t bits) {
        return from_end <= end - begin && is(end - from_end, bits);
    };
    const char32_t last = at(1);
    size_t length = is(end - 1, kSuffix) ? 1 : 0;
    if (last == '.') {
        size_t dots = 1;
        while (at(dots + 1) == '.') ++dots;
        if (dots > 1) return dots;
        const bool degree = at(3) == U'°' && (at(2) == 'F' || at(2) == 'f' || at(2) == 'C' ||
                                              at(2) == 'c' || at(2) == 'K' || at(2) == 'k');
        return degree || has(2, kBeforePeriod) || (has(2, kUpperLetter) && has(3, kUpperLetter));
    }
    if (last == U'…' && at(2) == U'…') return 2;
    if ((last == 's' || last == 'S') && (at(2) == '\'' || at(2) == U'’')) length = 2;
    if (last == '$' && at(2) == 'S' && at(3) == 'U' && has(4, kDigit)) return 3;
    if (last == '$' && (at(2) == 'C' || at(2) == 'A') && has(3, kDigit)) return 2;
    if (has(2, kDigit) && (last == '+' || is(end - 1, kCurrency)))
        length = std::max<size_t>(length, 1);
    return std::max(length, unit(begin, end));
}

size_t Splitter::infix(size_t at, size_t begin, size_t end) const {
    if (!is(at, kInfixMark)) return 0;
    const char32_t c = chars_[at].code;
    const auto next = [&](size_t i) { return at + i < end ? chars_[at + i].code : 0; };
    const auto before = [&](uint32_t bits) { return at > begin && is(at - 1, bits); };
    const auto after = [&](size_t i, uint32_t bits) { return at + i < end && is(at + i, bits); };
    if (c == '.') {
        size_t dots = 1;
        while (next(dots) == '.') ++dots;
        if (dots > 1) return dots;
        return before(kLowerLetter | kQuote) && after(1, kUpperLetter | kQuote);
    }
    if (c == U'…' || is(at, kIcon)) return 1;
    if ((c == '+' || c == '-' || c == '*' || c == '^') && before(kDigit) &&
        (after(1, kDigit) || next(1) == '-'))
        return 1;
    if (c == ',') return before(kLetter) && after(1, kLetter);
    if (!before(kLetter | kDigit)) return 0;
    if (c == ':' || c == '<' || c == '>' || c == '=' || c == '/') return after(1, kLetter);
    if (!digit_before_hyphen_ && !before(kLetter)) return 0;
    if (c == '-') {
        for (size_t length = 1; length <= 3; ++length) {
            if (after(length, kLetter)) return length;
            if (next(length) != '-') return 0;
        }
        return 0;
    }
    if (c == U'—' && next(1) == U'—' && after(2, kLetter)) return 2;
    return (c == U'–' || c == U'—' || c == '~') && after(1, kLetter);
}

void Splitter::split_infixes(size_t begin, size_t end, std::vector<uint32_t>& lengths) const {
    size_t start = begin;
    for (size_t at = begin; at < end;) {
        const size_t length = infix(at, begin, end);
        if (length == 0) {
            ++at;
            continue;
        }
        if (at > begin) { // one at the beginning stays with what follows
            if (at > start) push(start, at, lengths);
            push(at, at + length, lengths);
            start = at + length;
        }
        at += length;
    }
    if (start < end) push(start, end, lengths);
}

void Splitter::split(std::string_view piece, std::vector<uint32_t>& lengths, bool special) {
    decode(piece);
    suffixes_.clear();
    size_t begin = 0, end = chars_.size() - 1;
    const auto found = [&](size_t from, size_t to) {
        return special && from < to ? find_case(from, to) : nullptr;
    };
    while (begin < end) {
        if (found(begin, end)) break;
        const size_t before = prefix(begin, end);
        if (before > 0 && found(begin + before, end)) {
            push(begin, begin + before, lengths);
            begin += before;
            break;
        }
        const size_t after = suffix(begin + before, end);
        if (after > 0 && found(begin, end - after)) {
            suffixes_.push_back(chars_[end].offset - chars_[end - after].offset);
            end -= after;
            break;
        }
        if (before == 0 && after == 0) break;
        if (before > 0) push(begin, begin + before, lengths);
        if (after > 0) suffixes_.push_back(chars_[end].offset - chars_[end - after].offset);
        begin += before;
        end -= after;
    }
    if (begin < end) {
        if (const std::vector<std::string>* pieces = found(begin, end)) {
            for (const std::string& part : *pieces)
                lengths.push_back(static_cast<uint32_t>(part.size()));
        } else {
            if (is_url(begin, end))
                push(begin, end, lengths);
            else
                split_infixes(begin, end, lengths);
        }
    }
    lengths.insert(lengths.end(), suffixes_.rbegin(), suffixes_.rend());
}

bool Splitter::is_url(size_t begin, size_t end) const {
    bool period = false; // a host has one: nearly all words end here
    for (size_t i = begin; i < end; ++i) period = period || chars_[i].code == '.';
    if (!period) return false;
    std::u32string codes;
    for (size_t i = begin; i < end; ++i) codes += chars_[i].code;
    return corpus::is_url(codes);
}

bool Splitter::is_matched_later(std::string_view special_case) {
    if (special_case.find(' ') != std::string_view::npos) return true;
    decode(special_case);
    const size_t end = chars_.size() - 1;
    if (prefix(0, end) > 0 || suffix(0, end) > 0) return true;
    for (size_t at = 0; at < end; ++at)
        if (infix(at, 0, end) > 0) return true;
    return false;
}

} // namespace tnl::corpus
