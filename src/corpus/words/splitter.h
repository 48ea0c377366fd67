// spaCy's rule-based tokenizer for one piece of text between spaces (spaCy 3.8, tokenizer.pyx, with
// the blank pipelines "en" and "xx"): prefixes and suffixes come off one by one, special cases and
// URLs stay whole, what is left is split at infixes.
#pragma once

#include "corpus/words/characters.h"
#include "corpus/words/special_cases.h"

#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

// spacy.blank("en"), spacy.blank("xx"), and jieba's words (segmenter.h), whose rules are not here.
enum class WordRules { english, common, chinese };

class Splitter {
  public:
    explicit Splitter(WordRules rules);

    // Appends the lengths in bytes of the tokens of `piece` (valid UTF-8, not empty). `special`:
    // with the special cases.
    void split(std::string_view piece, std::vector<uint32_t>& lengths, bool special = true);

    const SpecialCases& cases() const { return cases_; }
    // Special cases that are found in the tokens of a document, too, since the rules can take them
    // apart before they are seen whole.
    bool is_matched_later(std::string_view special_case);

  private:
    struct Char {
        char32_t code;
        uint32_t bits;
        uint32_t offset; // in the piece
    };
    void decode(std::string_view piece);
    bool is(size_t at, uint32_t bits) const { return (chars_[at].bits & bits) != 0; }
    std::string_view slice(size_t begin, size_t end) const;
    const std::vector<std::string>* find_case(size_t begin, size_t end) const;
    static size_t case_filter(std::string_view text);
    // Lengths in characters within [begin, end); 0: there is none.
    size_t prefix(size_t begin, size_t end) const;
    size_t suffix(size_t begin, size_t end) const;
    size_t unit(size_t begin, size_t end) const;
    size_t infix(size_t at, size_t begin, size_t end) const;
    void split_infixes(size_t begin, size_t end, std::vector<uint32_t>& lengths) const;
    bool is_url(size_t begin, size_t end) const;
    void push(size_t begin, size_t end, std::vector<uint32_t>& lengths) const;

    SpecialCases cases_;
    size_t longest_case_ = 0;       // in bytes
    std::vector<bool> may_be_case_; // by case_filter
    bool digit_before_hyphen_;
    const uint32_t* bits_;
    std::string_view piece_;
    std::vector<Char> chars_; // of the piece, and one more at its end
    std::vector<uint32_t> suffixes_;
};

// Whether spaCy takes the whole piece for a URL. The characters' codes, without spaces.
bool is_url(const std::u32string& piece);

} // namespace tnl::corpus
