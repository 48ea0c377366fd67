// spaCy's URL_PATTERN (lang/tokenizer_exceptions.py) as a search of its own: a scheme and ://, a
// user and
// @, a host (an IP address in four numbers that is not private, or labels and a top-level domain),
// a port, and a path; all but the host may be missing.
#include "corpus/words/splitter.h"

#include <algorithm>

namespace tnl::corpus {
namespace {

class UrlPattern {
  public:
    explicit UrlPattern(const std::u32string& text) : text_(text), bits_(character_bits()) {}

    bool matches() const {
        if (matches_from(0)) return true;
        const size_t scheme = scheme_end();
        return scheme > 0 && matches_from(scheme);
    }

  private:
    char32_t at(size_t i) const { return i < text_.size() ? text_[i] : 0; }
    bool is(size_t i, uint32_t bits) const {
        return i < text_.size() && (bits_[text_[i]] & bits) != 0;
    }
    // [\w+-.]{2,}://
    size_t scheme_end() const {
        const size_t colon = text_.find(U':');
        if (colon == std::u32string::npos || colon < 2) return 0;
        if (at(colon + 1) != '/' || at(colon + 2) != '/') return 0;
        for (size_t i = 0; i < colon; ++i)
            if (!is(i, kWordChar) && at(i) != '+' && at(i) != '-' && at(i) != '.') return 0;
        return colon + 3;
    }
    // \S+(:\S*)?@ or nothing, and the rest
    bool matches_from(size_t begin) const {
        if (host(begin)) return true;
        for (size_t i = begin + 1; i < text_.size(); ++i)
            if (text_[i] == '@' && host(i + 1)) return true;
        return false;
    }
    bool host(size_t begin) const { return address(begin) || name(begin); }

    // [A-Za-z0-9\u00a1-\uffff]
    bool is_host_letter(size_t i) const {
        const char32_t c = at(i);
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c >= 0xA1 && c <= 0xFFFF);
    }
    // Labels of 1 to 64 characters, each with its period, and a top-level domain of 2 to 63
    bool name(size_t begin) const {
        size_t label = begin;
        for (;;) {
            size_t end = label;
            while (is_host_letter(end) || at(end) == '_' || at(end) == '-') ++end;
            if (at(end) != '.') break;
            if (end == label || end - label > 64 || !is_host_letter(label) ||
                !is_host_letter(end - 1))
                return false;
            label = end + 1;
        }
        if (label == begin) return false;
        size_t end = label;
        while (is(end, kLowerLetter)) ++end;
        return end - label >= 2 && end - label <= 63 && rest(end);
    }
    // (:\d{2,5})?([/?#]\S*)?$
    bool rest(size_t i) const {
        if (at(i) == ':') {
            const size_t begin = ++i;
            while (is(i, kDecimal)) ++i;
            if (i - begin < 2 || i - begin > 5) return false;
        }
        return i == text_.size() || at(i) == '/' || at(i) == '?' || at(i) == '#';
    }

    // A decimal number of [begin, end), where digits of other scripts count only as "any digit".
    struct Number {
        size_t begin, end;
        size_t size() const { return end - begin; }
    };
    bool in(size_t i, char32_t low, char32_t high) const { return at(i) >= low && at(i) <= high; }
    // [1-9]\d?|1\d\d|2[01]\d|22[0-3]
    bool is_first(Number n) const {
        if (n.size() <= 2) return in(n.begin, '1', '9');
        return at(n.begin) == '1' || (at(n.begin) == '2' && in(n.begin + 1, '0', '1')) ||
               (at(n.begin) == '2' && at(n.begin + 1) == '2' && in(n.begin + 2, '0', '3'));
    }
    // 1?\d{1,2}|2[0-4]\d|25[0-5]
    bool is_middle(Number n) const {
        if (n.size() <= 2) return true;
        return at(n.begin) == '1' || is_200(n, '5');
    }
    // [1-9]\d?|1\d\d|2[0-4]\d|25[0-4]
    bool is_last(Number n) const {
        if (n.size() <= 2) return in(n.begin, '1', '9');
        return at(n.begin) == '1' || is_200(n, '4');
    }
    bool is_200(Number n, char32_t most) const {
        return at(n.begin) == '2' && (in(n.begin + 1, '0', '4') ||
                                      (at(n.begin + 1) == '5' && in(n.begin + 2, '0', most)));
    }
    bool address(size_t begin) const {
        Number numbers[4];
        size_t i = begin;
        for (Number& number : numbers) {
            if (&number != numbers && at(i++) != '.') return false;
            number.begin = i;
            while (is(i, kDecimal) && i - number.begin < 4) ++i;
            number.end = i;
            if (number.size() == 0 || number.size() > 3) return false;
        }
        if (is_private(numbers)) return false;
        return is_first(numbers[0]) && is_middle(numbers[1]) && is_middle(numbers[2]) &&
               is_last(numbers[3]) && rest(i);
    }
    std::u32string_view view(Number n) const {
        return std::u32string_view(text_).substr(n.begin, n.size());
    }
    bool is_private(const Number (&n)[4]) const {
        const std::u32string_view first = view(n[0]), second = view(n[1]);
        if (first == U"10" || first == U"127") return true;
        if ((first == U"169" && second == U"254") || (first == U"192" && second == U"168"))
            return true;
        if (first != U"172" || second.size() != 2) return false;
        // 1[6-9]|2\d|3[0-1]
        return (second[0] == '1' && second[1] >= '6' && second[1] <= '9') || second[0] == '2' ||
               (second[0] == '3' && (second[1] == '0' || second[1] == '1'));
    }

    const std::u32string& text_;
    const uint32_t* bits_;
};

} // namespace

bool is_url(const std::u32string& piece) { return UrlPattern(piece).matches(); }

} // namespace tnl::corpus
