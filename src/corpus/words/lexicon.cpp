#include "corpus/words/lexicon.h"

#include "base/check.h"
#include "corpus/words/byte_masks.h"

#include <algorithm>

namespace tnl::corpus {
namespace {

// Bytes of ASCII that are white space to Python.
constexpr bool is_ascii_space(unsigned char c) {
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
}

} // namespace

Lexicon::Lexicon(WordRules rules, const Segmenter* segmenter)
    : splitter_(rules), segmenter_(segmenter), bits_(character_bits()) {
    TNL_CHECK((rules == WordRules::chinese) == (segmenter != nullptr),
              "a segmenter is of Chinese words, and they need one");
    clear();
}

void Lexicon::clear() {
    texts_.clear();
    lexemes_.clear();
    begins_.clear();
    parts_.clear();
    pieces_.clear();
    by_text_.clear();
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
                        pieces_.bytes() + by_text_.bytes();
    if (used > bytes) clear();
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
    if (all & kSpace) out.flags |= Lexeme::kWhite;
    if (any & kAlphabetic) out.flags |= Lexeme::kAlpha;
    if (!symbols) out.flags |= Lexeme::kText;
    if (all & kPunctuation) out.flags |= Lexeme::kAllPunct;
    if (out.characters == 1 && (all & kSentenceEnd)) out.flags |= Lexeme::kEndsSentence;
    return out;
}

uint32_t Lexicon::intern(std::string_view text) {
    TextKey key;
    key.set(text, text.size());
    TextTable::Slot& slot = by_text_.find(key, text);
    if (slot.count() == 0) {
        Lexeme lexeme = describe(text);
        lexeme.offset = static_cast<uint32_t>(texts_.size());
        lexeme.bytes = static_cast<uint32_t>(text.size());
        TNL_CHECK(lexemes_.size() < kLexeme && texts_.size() + text.size() < (size_t{1} << 32),
                  "a document of more than 4 GB of different words");
        by_text_.put(slot, key, text, static_cast<uint32_t>(lexemes_.size()), 1);
        texts_.append(text);
        lexemes_.push_back(lexeme);
    }
    return slot.value;
}

uint32_t Lexicon::token_of(std::string_view text) {
    const uint32_t lexeme = intern(text);
    return lexeme | (lexeme < begins_.size() && begins_[lexeme] ? kBegins : 0);
}

TextTable::Slot& Lexicon::split_piece(const Piece& piece) {
    lengths_.clear();
    if (segmenter_ && piece.white)
        lengths_.push_back(static_cast<uint32_t>(piece.text.size()));
    else if (segmenter_)
        segmenter_->split(piece.text, lengths_, scratch_);
    else
        splitter_.split(piece.text, lengths_);
    const auto first = static_cast<uint32_t>(parts_.size());
    size_t at = 0;
    for (const uint32_t length : lengths_) {
        parts_.push_back(token_of(piece.text.substr(at, length)));
        at += length;
    }
    const auto count =
        static_cast<uint32_t>(std::min<size_t>(lengths_.size(), TextTable::kMostCount));
    uint32_t value = first;
    if (lengths_.size() == 1) {
        value = parts_.back();
        parts_.pop_back();
    } else if (lengths_.size() >= TextTable::kMostCount) { // before them their number
        parts_.insert(parts_.begin() + first, static_cast<uint32_t>(lengths_.size()));
    }
    TextTable::Slot& slot = pieces_.find(piece.key, piece.text);
    pieces_.put(slot, piece.key, piece.text, value, count);
    return slot;
}

void Lexicon::add_pieces(const Piece* pieces, size_t count, std::vector<uint32_t>& tokens) {
    for (const Piece* piece = pieces; piece != pieces + count; ++piece) {
        if (piece->text.empty()) { // white space that is not asked for
            after_white_ = true;
            continue;
        }
        TextTable::Slot* slot = &pieces_.find(piece->key, piece->text);
        if (slot->count() == 0) slot = &split_piece(*piece);
        const uint32_t marks = kAfterSpace | (after_white_ ? kAfterWhite : 0);
        after_white_ = piece->white;
        if (slot->count() == 1) {
            tokens.push_back(slot->value | marks);
            continue;
        }
        const uint32_t* part = &parts_[slot->value];
        uint32_t number = slot->count();
        if (number == TextTable::kMostCount) number = *part++;
        const size_t first = tokens.size();
        tokens.insert(tokens.end(), part, part + number);
        tokens[first] |= marks;
    }
}

void Lexicon::tokenize(std::string_view text, TokensOf which, std::vector<uint32_t>& tokens,
                       std::string* joined) {
    constexpr size_t kBatch = 16; // slots are asked for before the first of them is needed
    Piece batch[kBatch];
    size_t waiting = 0;
    tokens.clear();
    after_white_ = false;
    char* out = nullptr;
    constexpr size_t kStep = 16; // pieces are copied in steps of this
    if (joined) {
        joined->resize(text.size() + kStep);
        out = joined->data();
    }
    const auto add = [&](size_t begin, size_t end, bool white) {
        Piece& piece = batch[waiting++];
        piece.white = white;
        piece.text = text.substr(begin, white && which == TokensOf::words ? 0 : end - begin);
        if (!piece.text.empty()) {
            piece.key.set(piece.text, text.size() - begin);
            pieces_.prefetch(piece.key);
        }
        if (out && !white) {
            if (end - begin <= kStep && begin + kStep <= text.size())
                std::memcpy(out, text.data() + begin, kStep);
            else
                std::memcpy(out, text.data() + begin, end - begin);
            out += end - begin;
        }
        if (waiting < kBatch) return;
        add_pieces(batch, waiting, tokens);
        waiting = 0;
    };
    // Runs of white space and of other characters; a space after others is not part of the former.
    size_t start = 0;
    const auto look_at = [](unsigned char byte) { return byte <= ' ' || byte >= 0x80; };
    for_bytes(text, 0, look_at, [&](size_t at) {
        const auto byte = static_cast<unsigned char>(text[at]);
        size_t bytes = 1;
        bool space = false;
        if (byte < 0x80) {
            space = is_ascii_space(byte);
        } else {
            const Character c = character_at(text, at);
            bytes = c.bytes;
            space = bits_[c.code] & kSpace;
        }
        if (!space) return at + bytes;
        if (start < at) add(start, at, false);
        // The run of white space.
        size_t end = at + bytes;
        while (end < text.size()) {
            const Character c = character_at(text, end);
            if (!(bits_[c.code] & kSpace)) break;
            end += c.bytes;
        }
        const bool after_others = byte == ' ' && at > 0;
        if (at + after_others < end) add(at + after_others, end, true);
        return start = end;
    });
    if (start < text.size()) add(start, text.size(), false);
    add_pieces(batch, waiting, tokens);
    if (joined) joined->resize(static_cast<size_t>(out - joined->data()));
    apply_patterns(tokens);
}

} // namespace tnl::corpus
