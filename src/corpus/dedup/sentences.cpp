#include "corpus/dedup/sentences.h"

namespace tnl::corpus {

const std::vector<Sentence>& SentenceFinder::operator()(std::string_view text) {
    lexicon_.limit();
    lexicon_.tokenize(text, TokensOf::all, tokens_);
    sentences_.clear();
    bool ended = false; // a mark that ends sentences was seen
    size_t at = 0;
    for (const uint32_t token : tokens_) {
        // A single space is part of no token.
        if ((token & Lexicon::kAfterSpace) && !(token & Lexicon::kAfterWhite) && at > 0 &&
            text[at] == ' ')
            ++at;
        const Lexeme& lexeme = lexicon_[token];
        const bool ends = lexeme.flags & Lexeme::kEndsSentence;
        if (sentences_.empty() || (ended && !ends && !(lexeme.flags & Lexeme::kAllPunct))) {
            sentences_.push_back({at, at});
            ended = false;
        }
        ended = ended || ends;
        at += lexeme.bytes;
        sentences_.back().end = at;
    }
    return sentences_;
}

size_t SentenceFinder::words(std::string_view text) {
    lexicon_.limit();
    lexicon_.tokenize(text, TokensOf::words, tokens_);
    return tokens_.size();
}

} // namespace tnl::corpus
