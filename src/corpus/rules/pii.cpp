#include "corpus/rules/pii.h"

#include "base/check.h"
#include "corpus/words/characters.h"

#include <array>

namespace tnl::corpus {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_atom(char c) {
    return is_alnum(c) ||
           (c != '\0' && std::string_view("!#$%&'*+/=?^_`{|}~-").find(c) != std::string_view::npos);
}
char at_of(std::string_view text, size_t i) { return i < text.size() ? text[i] : '\0'; }

// Whether the character before text[at], of any script, is a part of a word (Python's \w).
bool word_before(std::string_view text, size_t at) {
    if (at == 0) return false;
    size_t begin = at - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    return (character_bits()[character_at(text, begin).code] & kWordChar) != 0;
}

// A number below 256, at most one zero before it, that [begin, end) is.
bool is_octet(std::string_view text, size_t begin, size_t end) {
    const size_t size = end - begin;
    if (size == 0 || size > 3) return false;
    for (size_t i = begin; i < end; ++i)
        if (!is_digit(text[i])) return false;
    if (size < 3 || text[begin] <= '1') return true;
    if (text[begin] != '2' || text[begin + 1] > '5') return false;
    return text[begin + 1] < '5' || text[begin + 2] <= '5';
}

// Where three numbers, each with a period behind it, end; 0: text[begin] begins none.
size_t after_three(std::string_view text, size_t begin) {
    for (int i = 0; i < 3; ++i) {
        size_t end = begin;
        while (end - begin < 4 && is_digit(at_of(text, end))) ++end;
        if (at_of(text, end) != '.' || !is_octet(text, begin, end)) return 0;
        begin = end + 1;
    }
    return begin;
}

// The longest beginning that is a number below 256.
size_t octet_end(std::string_view text, size_t begin) {
    for (size_t size = 3; size > 0; --size)
        if (begin + size <= text.size() && is_octet(text, begin, begin + size)) return begin + size;
    return begin;
}

// What letters, digits and hyphens from `begin` on end as a label: with a letter or digit; begin:
// they are none.
size_t label_end(std::string_view text, size_t begin) {
    if (!is_alnum(at_of(text, begin))) return begin;
    size_t end = begin;
    while (is_alnum(at_of(text, end)) || at_of(text, end) == '-') ++end;
    while (text[end - 1] == '-') --end;
    return end;
}

// The end of [1.2.3.4] or [1.2.3.tag:], or 0.
size_t literal_end(std::string_view text, size_t begin) {
    const size_t last = after_three(text, begin + 1);
    if (last == 0) return 0;
    size_t end = last;
    while (is_digit(at_of(text, end))) ++end;
    if (at_of(text, end) == ']' && is_octet(text, last, end)) return end + 1;
    for (end = last; is_alnum(at_of(text, end)) || at_of(text, end) == '-';) ++end;
    if (end == last || !is_alnum(text[end - 1])) return 0;
    return at_of(text, end) == ':' && at_of(text, end + 1) == ']' ? end + 2 : 0;
}

// The end of a host's name, two labels or more, or of an address in brackets; 0: there is none.
size_t host_end(std::string_view text, size_t begin) {
    if (at_of(text, begin) == '[') return literal_end(text, begin);
    size_t labels = 0, end = 0;
    for (;;) {
        const size_t stop = label_end(text, begin);
        if (stop == begin) break; // a period with nothing behind it is not part of the name
        ++labels;
        end = stop;
        if (at_of(text, stop) != '.') break;
        begin = stop + 1;
    }
    return labels >= 2 ? end : 0;
}

class Turns {
  public:
    explicit Turns(const std::vector<std::string>& texts) : texts_(texts) {}
    const std::string& next() { return texts_[at_++ % texts_.size()]; }

  private:
    const std::vector<std::string>& texts_;
    size_t at_ = 0;
};

// find(text, at), from the beginning to the end; what take says yes to is replaced.
template <class Find, class Take>
void replace(std::string_view text, const std::vector<std::string>& by, std::string& out, Find find,
             Take take) {
    Turns turns(by);
    out.clear();
    for (size_t at = 0;;) {
        const Found found = find(text, at);
        if (found.begin == found.end) {
            out.append(text, at);
            return;
        }
        out.append(text, at, found.begin - at);
        const std::string_view what = text.substr(found.begin, found.end - found.begin);
        if (take(what))
            out += turns.next();
        else
            out += what;
        at = found.end;
    }
}

} // namespace

void PiiRules::validate(const std::string& place) const {
    if (emails && email_replacements.empty())
        throw UsageError(fmt::format("{}: email_replacements is empty, wanted some", place));
    if (ips && ip_replacements.empty())
        throw UsageError(fmt::format("{}: ip_replacements is empty, wanted some", place));
}

// Of a match the part before @ is atoms with single periods between them, begins at the boundary of
// a word, and as early as it can.
Found find_email(std::string_view text, size_t at) {
    for (size_t sign = text.find('@', at); sign != std::string_view::npos;
         sign = text.find('@', sign + 1)) {
        if (sign == at || !is_atom(text[sign - 1])) continue;
        size_t first = sign; // of atoms and single periods
        while (first > at && (is_atom(text[first - 1]) ||
                              (text[first - 1] == '.' && text[first] != '.' && first != sign)))
            --first;
        const size_t end = host_end(text, sign + 1);
        if (end == 0) continue;
        for (size_t begin = first; begin < sign; ++begin) {
            const bool word = is_alnum(text[begin]) || text[begin] == '_';
            if (text[begin] != '.' && word != word_before(text, begin)) return {begin, end};
        }
    }
    return {text.size(), text.size()};
}

Found find_ipv4(std::string_view text, size_t at) {
    // Only digits right before a period can be of the first number.
    for (size_t dot = text.find('.', at); dot != std::string_view::npos;
         dot = text.find('.', dot + 1)) {
        size_t begin = dot;
        while (begin > at && dot - begin < 3 && is_digit(text[begin - 1])) --begin;
        for (; begin < dot; ++begin) {
            const size_t last = after_three(text, begin);
            if (last == 0) continue;
            if (const size_t end = octet_end(text, last); end > last) return {begin, end};
        }
    }
    return {text.size(), text.size()};
}

bool is_public_ipv4(std::string_view address) {
    uint32_t bits = 0;
    for (size_t at = 0, i = 0; i < 4; ++i) {
        uint32_t number = 0;
        const size_t begin = at;
        while (at < address.size() && address[at] != '.')
            number = number * 10 + static_cast<uint32_t>(address[at++] - '0');
        if (at - begin > 1 && address[begin] == '0') return false; // may be octal: no address
        bits = bits << 8 | number;
        ++at;
    }
    struct Network {
        uint8_t a, b, c, d;
        int prefix;
    };
    constexpr std::array<Network, 15> kNetworks = {{{0, 0, 0, 0, 8},
                                                    {10, 0, 0, 0, 8},
                                                    {100, 64, 0, 0, 10},
                                                    {127, 0, 0, 0, 8},
                                                    {169, 254, 0, 0, 16},
                                                    {172, 16, 0, 0, 12},
                                                    {192, 0, 0, 0, 29},
                                                    {192, 0, 0, 170, 31},
                                                    {192, 0, 2, 0, 24},
                                                    {192, 168, 0, 0, 16},
                                                    {198, 18, 0, 0, 15},
                                                    {198, 51, 100, 0, 24},
                                                    {203, 0, 113, 0, 24},
                                                    {240, 0, 0, 0, 4},
                                                    {255, 255, 255, 255, 32}}};
    for (const Network& n : kNetworks) {
        const uint32_t base = uint32_t{n.a} << 24 | uint32_t{n.b} << 16 | uint32_t{n.c} << 8 | n.d;
        if ((bits ^ base) >> (32 - n.prefix) == 0) return false;
    }
    return true;
}

void mask_pii(const PiiRules& rules, std::string_view text, std::string& out) {
    std::string masked;
    if (rules.emails) {
        replace(text, rules.email_replacements, masked, find_email,
                [](std::string_view) { return true; });
        text = masked;
    }
    if (!rules.ips) {
        out.assign(text);
        return;
    }
    replace(text, rules.ip_replacements, out, find_ipv4, [&](std::string_view address) {
        // Without the choice a leading zero still makes it no address.
        if (rules.public_ips_only) return is_public_ipv4(address);
        bool valid = true;
        for (size_t i = 0; i + 1 < address.size(); ++i)
            valid = valid && !(address[i] == '0' && is_digit(address[i + 1]) &&
                               (i == 0 || address[i - 1] == '.'));
        return valid;
    });
}

} // namespace tnl::corpus
