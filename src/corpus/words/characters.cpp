#include "corpus/words/characters.h"

#include "corpus/words/character_sets.h"

#include <unicode/uchar.h>

#include <vector>

namespace tnl::corpus {
namespace {

constexpr char32_t kCodes = 0x110000;

uint32_t unicode_bits(char32_t code) {
    const auto c = static_cast<UChar32>(code);
    const uint32_t category = U_MASK(u_charType(c));
    uint32_t bits = 0;
    const UCharDirection direction = u_charDirection(c);
    if (direction == U_WHITE_SPACE_NEUTRAL || direction == U_BLOCK_SEPARATOR ||
        direction == U_SEGMENT_SEPARATOR || (category & U_GC_ZS_MASK))
        bits |= kSpace;
    if (category & U_GC_L_MASK) bits |= kAlphabetic;
    if (category & (U_GC_L_MASK | U_GC_N_MASK)) bits |= kWordChar;
    if (category & U_GC_ND_MASK) bits |= kDecimal;
    if (category & U_GC_P_MASK) bits |= kPunctuation;
    return bits;
}

class Table {
  public:
    Table() : bits_(kCodes) {
        for (char32_t code = 0; code < kCodes; ++code) bits_[code] = unicode_bits(code);
        bits_['_'] |= kWordChar;
        add(terminal_punctuation(), kTerminal | kSymbol | kSentenceEnd);
        for (const CodeRange& range : terminal_not_of_sentences())
            for (char32_t code = range.first; code <= range.last; ++code)
                bits_[code] &= ~uint32_t{kSentenceEnd};
        add_datatrove();
        add_spacy();
    }
    const uint32_t* data() const { return bits_.data(); }

  private:
    void add(std::span<const CodeRange> ranges, uint32_t bits) {
        for (const CodeRange& range : ranges)
            for (char32_t code = range.first; code <= range.last; ++code) bits_[code] |= bits;
    }
    void add(std::u32string_view characters, uint32_t bits) {
        for (const char32_t code : characters) bits_[code] |= bits;
    }
    void add_datatrove() {
        add(U"!\"#$%&'()*+,-./"
            U":;<=>?@[\\]^_`{|}~«´»–—’“”„…∶━►、。〈〉《》「」【】！％（），．１：；？～",
            kSymbol);
        constexpr CodeRange kControls[] = {{0, 8}, {11, 31}, {127, 159}}; // not tab and newline
        add(kControls, kSymbol);
    }
    void add_spacy() {
        const uint32_t both = kLetter | kLowerLetter | kUpperLetter;
        add(uncased_letters(), both | kBeforePeriod);
        for (const CodeRange& range : cased_letters()) {
            for (char32_t code = range.first; code <= range.last; ++code) {
                const uint32_t category = U_MASK(u_charType(static_cast<UChar32>(code)));
                bits_[code] |= kLetter;
                if (category & U_GC_LL_MASK) bits_[code] |= kLowerLetter | kBeforePeriod;
                if (category & U_GC_LU_MASK) bits_[code] |= kUpperLetter;
            }
        }
        bits_[0x294] |= kLowerLetter | kBeforePeriod; // was of category Ll once
        bits_[0x3A2] |= kUpperLetter;                 // in the range of Greek capitals
        add(icons(), kIcon | kPrefix | kSuffix);
        add(U"!\"#&'()*,:;<>?[]_`{}"
            U"¡«´·»¿،؛؟٪۔।–—‘’‚“”„…〈〉⟦⟧、。〈〉《》「」『』【】〔〕！（），：；？～",
            kPrefix | kSuffix);
        add(U"$£¥฿₠₡₢₣₤₥₦₧₨₩₪₫€₭₮₯"
            U"₰₱₲₳₴₵₶₷₸₹₺₻₼₽₾₿﷼",
            kPrefix | kCurrency);
        add(U"%=§", kPrefix);
        add(U"\"',`«´»‘’‚“”„〈〉⟦⟧（）", kQuote);
        add(U"!\"#%&'()*+,-0123456789:;<>?[]_`{|}¡«²´·»¿،؛؟٪‘’‚“”„…〈〉⟦⟧！（），：；？～",
            kBeforePeriod);
        add(U"0123456789", kDigit);
        add(icons(), kInfixMark);
        add(U"…+-*^.,–—~:<>=/", kInfixMark);
    }
    std::vector<uint32_t> bits_;
};

} // namespace

const uint32_t* character_bits() {
    static const Table table;
    return table.data();
}

size_t count_characters(std::string_view text) {
    size_t count = 0;
    for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    return count;
}

} // namespace tnl::corpus
