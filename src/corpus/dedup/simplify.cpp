#include "corpus/dedup/simplify.h"

#include "corpus/dedup/characters.h"

#include <emmintrin.h>

#include <array>

namespace tnl::corpus {
namespace {

// What an ASCII character becomes; ' ' for white space and punctuation, '0' for digits, 0 for bytes
// above ASCII.
constexpr std::array<char, 256> kAscii = [] {
    std::array<char, 256> table{};
    for (size_t c = 0; c < 128; ++c) {
        const bool upper = c >= 'A' && c <= 'Z', low = c >= 'a' && c <= 'z';
        const bool number = c >= '0' && c <= '9';
        table[c] = upper    ? static_cast<char>(c + 32)
                   : low    ? static_cast<char>(c)
                   : number ? '0'
                            : ' ';
    }
    return table;
}();

char ascii(char c) { return kAscii[static_cast<unsigned char>(c)]; }

// One pass over the text, for the options whose steps act on each character alone.
class Pass {
  public:
    Pass(std::string_view text, std::string& out, bool numbers)
        : text_(text), out_(out), numbers_(numbers) {}

    // False: simplify_plain is needed.
    bool run() {
        reserve(0);
        for (size_t at = 0; at < text_.size();) {
            const char c = ascii(text_[at]);
            if (c > '0') {
                space();
                at = letters(at);
            } else if (c == ' ') {
                pending_ = true;
                ++at;
            } else if (c == '0') {
                at = number(at);
            } else if (!character(at)) {
                return false;
            }
        }
        finish();
        return true;
    }

  private:
    // Room for `more` bytes, and for what is left of the text as it is.
    void reserve(size_t more) {
        const size_t needed = to_ + more + text_.size() + 24;
        if (out_.size() < needed) out_.resize(needed + needed / 8);
    }
    void space() {
        if (pending_ && any_) out_[to_++] = ' ';
        pending_ = false;
        any_ = true;
    }
    // The letters from text_[at] on, in lower case, sixteen at a time; answers where they end.
    size_t letters(size_t at) {
        const char* from = text_.data() + at;
        const char* const end = text_.data() + text_.size();
        char* to = out_.data() + to_; // has room for sixteen more than are left of the text
        const __m128i case_bit = _mm_set1_epi8(0x20), a = _mm_set1_epi8('a');
        const __m128i z = _mm_set1_epi8('z' - 'a');
        while (end - from >= 16) {
            const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
            const __m128i low = _mm_or_si128(bytes, case_bit);
            const __m128i letter = _mm_sub_epi8(low, a);
            const int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(letter, z), letter));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(to), low);
            const int n = __builtin_ctz(~static_cast<unsigned>(mask));
            from += n;
            to += n;
            if (n < 16) return stop(from, to);
        }
        for (; from < end && ascii(*from) > '0'; ++from) *to++ = ascii(*from);
        return stop(from, to);
    }
    size_t stop(const char* from, const char* to) {
        to_ = static_cast<size_t>(to - out_.data());
        return static_cast<size_t>(from - text_.data());
    }
    size_t number(size_t at) {
        space();
        if (!numbers_) {
            out_[to_++] = text_[at];
            return at + 1;
        }
        out_[to_++] = '0';
        size_t end = digits_end(at);
        if (end < text_.size()) {
            size_t behind = end;
            if (is_decimal_separator(next_character(text_, behind))) {
                const size_t fraction = digits_end(behind);
                if (fraction > behind) end = fraction;
            }
        }
        return end;
    }
    size_t digits_end(size_t at) const {
        while (at < text_.size()) {
            size_t next = at;
            if (!is_digit(next_character(text_, next))) break;
            at = next;
        }
        return at;
    }
    // One that is not ASCII.
    bool character(size_t& at) {
        const size_t begin = at;
        const char32_t c = next_character(text_, at);
        const Simplified simplified = SimplifiedCharacters::table()[c];
        switch (simplified.kind) {
        case Simplified::same:
            append(text_.substr(begin, at - begin));
            return true;
        case Simplified::other:
            append(simplified.text);
            return true;
        case Simplified::space:
            pending_ = true;
            return true;
        case Simplified::sigma:
            append(lower_sigma(text_, begin) == 0x3C2 ? "\u03C2" : "\u03C3");
            return true;
        case Simplified::digit:
            if (numbers_)
                at = number(begin);
            else
                append(text_.substr(begin, at - begin));
            return true;
        default:
            return false;
        }
    }
    void append(std::string_view more) {
        space();
        reserve(more.size());
        more.copy(out_.data() + to_, more.size());
        to_ += more.size();
    }
    // Marks that went may leave spaces at the ends.
    void finish() {
        while (to_ > 0 && out_[to_ - 1] == ' ') --to_;
        out_.resize(to_);
        const size_t begin = out_.find_first_not_of(' ');
        if (begin != 0 && begin != std::string::npos) out_.erase(0, begin);
    }

    std::string_view text_;
    std::string& out_;
    bool numbers_;
    size_t to_ = 0;
    bool pending_ = false, any_ = false;
};

} // namespace

void simplify(std::string_view text, std::string& out, const SimplifyOptions& options) {
    SimplifyOptions plain;
    plain.numbers = options.numbers;
    if (!(options == plain) || !Pass(text, out, options.numbers).run())
        simplify_plain(text, out, options);
}

} // namespace tnl::corpus
