// Sentences as spaCy's sentencizer finds them in the tokens of its blank pipelines.
#pragma once

#include "corpus/words/lexicon.h"

#include <string_view>
#include <vector>

namespace tnl::corpus {

struct Sentence {
    size_t begin, end; // bytes of the text, from the first token to the last
};

// One for each thread.
class SentenceFinder {
  public:
    explicit SentenceFinder(WordRules rules) : lexicon_(rules) {}
    // Valid until the next call.
    const std::vector<Sentence>& operator()(std::string_view text);
    size_t words(std::string_view text);

  private:
    Lexicon lexicon_;
    std::vector<uint32_t> tokens_;
    std::vector<Sentence> sentences_;
};

} // namespace tnl::corpus
