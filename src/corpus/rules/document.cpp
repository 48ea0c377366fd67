#include "corpus/rules/document.h"

namespace tnl::corpus {

void DocumentView::set(std::string_view text) {
    text_ = text;
    has_words_ = has_characters_ = false;
}

size_t DocumentView::characters() {
    if (!has_characters_) characters_ = count_characters(text_);
    has_characters_ = true;
    return characters_;
}

const std::vector<uint32_t>& DocumentView::words() {
    if (!has_words_) lexicon_.tokenize(text_, TokensOf::words, words_, &joined_);
    has_words_ = true;
    return words_;
}

size_t DocumentView::sentences(std::string_view line, size_t enough) {
    lexicon_.tokenize(line, TokensOf::all, tokens_);
    size_t count = 1;
    bool ended = false;
    for (const uint32_t token : tokens_) {
        const uint32_t flags = lexicon_[token].flags;
        if (flags & Lexeme::kEndsSentence) {
            ended = true;
        } else if (ended && !(flags & Lexeme::kAllPunct)) {
            if (++count >= enough) break;
            ended = false;
        }
    }
    return count;
}

} // namespace tnl::corpus
