#include "corpus/words/lexicon.h"

#include <xxhash.h>

#include <algorithm>

namespace tnl::corpus {
namespace {

constexpr size_t kFirstSlots = 1 << 12;

uint64_t hash_of(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

// Bytes of ASCII that are white space to Python.
constexpr bool is_ascii_space(unsigned char c) {
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
}

} // namespace

Lexicon::Lexicon(WordRules rules) : splitter_(rules), bits_(character_bits()) { clear(); }

void Lexicon::clear() {
    texts_.clear();
    lexemes_.clear();
    parts_.clear();
    for (Table* table : {&pieces_, &by_text_}) *table = {std::vector<Slot>(kFirstSlots), 0};
    nodes_.assign(1, {});
    edges_.clear();
    outcomes_.clear();
    // In an order that does not depend on the hash of strings.
    std::vector<std::string> later;
    for (const auto& [text, pieces] : splitter_.cases())
        if (text != " " && splitter_.is_matched_later(text)) later.push_back(text);
    std::sort(later.begin(), later.end());
    for (const std::string& text : later) add_pattern(text, splitter_.cases().at(text));
    pattern_lexemes_ = static_cast<uint32_t>(lexemes_.size());
}

void Lexicon::limit(size_t bytes) {
    const size_t used = texts_.size() + lexemes_.size() * sizeof(Lexeme) + parts_.size() * 4 +
                        (pieces_.slots.size() + by_text_.slots.size()) * sizeof(Slot);
    if (used > bytes) clear();
}

// The slot of a key, or the empty one where it belongs; there is room for one more.
Lexicon::Slot& Lexicon::find(Table& table, std::string_view key, uint64_t hash) {
    if (table.used * 2 >= table.slots.size()) grow(table);
    const size_t mask = table.slots.size() - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        Slot& slot = table.slots[i];
        if (slot.count == 0) return slot;
        if (slot.hash == hash && std::string_view(texts_).substr(slot.offset, slot.bytes) == key)
            return slot;
    }
}

void Lexicon::grow(Table& table) {
    std::vector<Slot> larger(table.slots.size() * 2);
    const size_t mask = larger.size() - 1;
    for (const Slot& slot : table.slots) {
        if (slot.count == 0) continue;
        size_t i = slot.hash & mask;
        while (larger[i].count != 0) i = (i + 1) & mask;
        larger[i] = slot;
    }
    table.slots.swap(larger);
}

Lexeme Lexicon::describe(std::string_view text) const {
    Lexeme out{};
    uint32_t all = ~uint32_t{0}, any = 0;
    bool symbols = true;
    for (size_t at = 0; at < text.size();) {
        const Character c = character_at(text, at);
        const uint32_t bits = bits_[c.code];
        all &= bits;
        any |= bits;
        symbols = symbols && (bits & kSymbol);
        at += c.bytes;
        ++out.characters;
    }
    for (const char c : text) out.hash = out.hash * kHashBase + static_cast<unsigned char>(c);
    if (all & kSpace) out.flags |= Lexeme::kWhite;
    if (any & kAlphabetic) out.flags |= Lexeme::kAlpha;
    if (!symbols) out.flags |= Lexeme::kText;
    if (all & kPunctuation) out.flags |= Lexeme::kAllPunct;
    if (out.characters == 1 && (all & kSentenceEnd)) out.flags |= Lexeme::kEndsSentence;
    return out;
}

uint32_t Lexicon::intern(std::string_view text) {
    const uint64_t hash = hash_of(text);
    Slot& slot = find(by_text_, text, hash);
    if (slot.count == 0) {
        Lexeme lexeme = describe(text);
        lexeme.offset = static_cast<uint32_t>(texts_.size());
        lexeme.bytes = static_cast<uint32_t>(text.size());
        slot = {hash, lexeme.offset, lexeme.bytes, static_cast<uint32_t>(lexemes_.size()), 1};
        ++by_text_.used;
        texts_.append(text);
        lexemes_.push_back(lexeme);
    }
    return slot.first;
}

void Lexicon::add_piece(std::string_view piece, std::vector<uint32_t>& tokens) {
    const uint64_t hash = hash_of(piece);
    Slot* slot = &find(pieces_, piece, hash);
    if (slot->count == 0) {
        lengths_.clear();
        splitter_.split(piece, lengths_);
        const auto first = static_cast<uint32_t>(parts_.size());
        size_t at = 0;
        for (const uint32_t length : lengths_) {
            parts_.push_back(intern(piece.substr(at, length)));
            at += length;
        }
        parts_[first] |= kAfterSpace;
        // A piece that is one token shares its text.
        uint32_t offset = lexemes_[parts_[first] & ~kAfterSpace].offset;
        if (lengths_.size() > 1) {
            offset = static_cast<uint32_t>(texts_.size());
            texts_.append(piece);
        }
        *slot = {hash, offset, static_cast<uint32_t>(piece.size()), first,
                 static_cast<uint32_t>(lengths_.size())};
        ++pieces_.used;
    }
    for (uint32_t i = 0; i < slot->count; ++i) tokens.push_back(parts_[slot->first + i]);
}

void Lexicon::tokenize(std::string_view text, std::vector<uint32_t>& tokens) {
    tokens.clear();
    size_t start = 0; // of the piece
    bool white = false, first = true;
    for (size_t at = 0; at < text.size();) {
        const auto byte = static_cast<unsigned char>(text[at]);
        size_t bytes = 1;
        bool space = false;
        if (byte < 0x80) [[likely]] {
            space = is_ascii_space(byte);
        } else {
            const Character c = character_at(text, at);
            bytes = c.bytes;
            space = bits_[c.code] & kSpace;
        }
        if (first) white = space;
        if (space != white) {
            if (start < at) add_piece(text.substr(start, at - start), tokens);
            start = byte == ' ' ? at + 1 : at;
            white = space;
        }
        first = false;
        at += bytes;
    }
    if (start < text.size()) add_piece(text.substr(start), tokens);
    apply_patterns(tokens);
}

} // namespace tnl::corpus
