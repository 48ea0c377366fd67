// A document as the rules see it: its text, and its words, found when they are first asked for.
#pragma once

#include "corpus/words/lexicon.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

class DocumentView {
  public:
    explicit DocumentView(Lexicon& lexicon) : lexicon_(lexicon) {}

    // The text must outlive what is asked next.
    void set(std::string_view text);
    std::string_view text() const { return text_; }
    size_t characters(); // Python's len(text)
    // Tokens without those of white space: what datatrove's split_into_words gives.
    const std::vector<uint32_t>& words();
    Lexicon& lexicon() { return lexicon_; }
    const Lexeme& lexeme(uint32_t word) const { return lexicon_[word]; }
    std::string_view word_text(uint32_t word) const { return lexicon_.text(word); }
    // The words without anything between them; after words().
    const std::string& joined() const { return joined_; }
    // Sentences that spaCy's sentencizer finds, at least 1; counts no further than `enough`.
    size_t sentences(std::string_view line, size_t enough);

  private:
    Lexicon& lexicon_;
    std::string_view text_;
    size_t characters_ = 0;
    bool has_words_ = false, has_characters_ = false;
    std::vector<uint32_t> words_, tokens_;
    std::string joined_;
};

} // namespace tnl::corpus
