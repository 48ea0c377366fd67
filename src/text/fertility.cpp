#include "text/fertility.h"

#include "text/unicode.h"

#include <algorithm>

namespace tnl {
namespace {

// Scripts that put no spaces between words, of which each character counts as one: Han, Hiragana,
// Katakana; Thai, Lao, Khmer and Burmese have no such simple rule, and are not among them.
bool is_word_by_itself(char32_t c) {
    return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x20000 && c <= 0x3FFFF);
}

bool is_byte_piece(const std::string& piece) {
    return piece.size() == 6 && piece.starts_with("<0x") && piece.ends_with('>');
}

} // namespace

Fertility& Fertility::operator+=(const Fertility& more) {
    documents += more.documents;
    bytes += more.bytes;
    characters += more.characters;
    words += more.words;
    tokens += more.tokens;
    byte_tokens += more.byte_tokens;
    split_characters += more.split_characters;
    return *this;
}

FertilityCounter::FertilityCounter(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
    const bool bytes = tokenizer.kind() == "SentencePiece"; // tiktoken's pieces are all bytes
    is_byte_.resize(static_cast<size_t>(tokenizer.vocab_size()));
    for (int64_t id = 0; bytes && id < tokenizer.vocab_size(); ++id)
        is_byte_[static_cast<size_t>(id)] =
            is_byte_piece(tokenizer.piece(static_cast<int32_t>(id)));
}

void FertilityCounter::add(std::string_view text, Fertility& counts) const {
    ++counts.documents;
    counts.bytes += std::ssize(text);
    bool in_word = false;
    for (size_t at = 0; at < text.size();) {
        const Char c = char_at(text, at);
        at += c.bytes;
        ++counts.characters;
        const bool alone = is_word_by_itself(c.code);
        const bool part = c.kind == CharClass::letter || c.kind == CharClass::number;
        if (alone || (part && !in_word)) ++counts.words;
        // What is neither, nor a space, as a mark or an apostrophe, does not end a word.
        if (alone || c.is_space())
            in_word = false;
        else
            in_word = in_word || part;
    }
    for (const Tokenizer::Token& token : tokenizer_.encode_tokens(text)) {
        ++counts.tokens;
        if (!is_byte_[static_cast<size_t>(token.id)]) continue;
        ++counts.byte_tokens;
        // The last of a character's bytes stands for all of it.
        if (token.end > token.begin) ++counts.split_characters;
    }
}

} // namespace tnl
