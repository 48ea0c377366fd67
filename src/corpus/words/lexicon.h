// Texts to tokens, with what the filters ask of a token worked out once: a thread meets most pieces
// of text again and again.
#pragma once

#include "corpus/words/splitter.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tnl::corpus {

// A token's text and properties; equal texts have the same lexeme.
struct Lexeme {
    enum Flags : uint32_t {
        kWhite = 1,          // white space, no word
        kAlpha = 2,          // a character is alphabetic
        kText = 4,           // a character is not in datatrove's PUNCTUATION_SET
        kAllPunct = 8,       // every character is of category P (spaCy's is_punct)
        kEndsSentence = 16,  // is one of the sentencizer's characters
        kBeginsPattern = 32, // a special case may begin here
    };
    uint32_t offset, bytes; // of its text
    uint32_t characters;
    uint32_t flags;
    uint64_t hash; // of its bytes b: sum of b_k kHashBase^(bytes-1-k), modulo 2^64
};
constexpr uint64_t kHashBase = 0x9E3779B97F4A7C15;

class Lexicon {
  public:
    explicit Lexicon(WordRules rules);

    // A token: the number of its lexeme, and whether it is the first after a space.
    static constexpr uint32_t kAfterSpace = uint32_t{1} << 31;
    // All tokens of a text (valid UTF-8) in order, those of white space (more than single spaces)
    // among them: what spaCy makes of it.
    void tokenize(std::string_view text, std::vector<uint32_t>& tokens);

    const Lexeme& operator[](uint32_t token) const { return lexemes_[token & ~kAfterSpace]; }
    std::string_view text(uint32_t token) const {
        const Lexeme& lexeme = (*this)[token];
        return std::string_view(texts_).substr(lexeme.offset, lexeme.bytes);
    }
    // Forgets what it knows if that takes more than `bytes`; tokens from before lose their meaning.
    void limit(size_t bytes = size_t{64} << 20);

  private:
    struct Slot { // of an open-addressed table, empty where count is 0
        uint64_t hash = 0;
        uint32_t offset = 0, bytes = 0;
        uint32_t first = 0, count = 0; // in parts_, or in lexemes_
    };
    struct Table {
        std::vector<Slot> slots;
        size_t used = 0;
    };
    struct Match {
        uint32_t begin, end;
        uint32_t node;
    };
    Slot& find(Table& table, std::string_view key, uint64_t hash);
    static void grow(Table& table);
    void add_piece(std::string_view piece, std::vector<uint32_t>& tokens);
    uint32_t intern(std::string_view text);
    Lexeme describe(std::string_view text) const;
    void clear();
    void add_pattern(const std::string& text, const std::vector<std::string>& pieces);
    void apply_patterns(std::vector<uint32_t>& tokens);
    void find_matches(const std::vector<uint32_t>& tokens);
    void keep_longest(size_t tokens);

    Splitter splitter_;
    const uint32_t* bits_;
    std::string texts_; // of pieces and lexemes
    std::vector<Lexeme> lexemes_;
    std::vector<uint32_t> parts_, lengths_;
    Table pieces_, by_text_;

    // Special cases found in tokens: a tree whose edges are lexemes.
    struct Node {
        bool ends = false;
        uint32_t first = 0,
                 count = 0; // what stands for the tokens from the root to here, in outcomes_
    };
    std::vector<Node> nodes_;
    std::unordered_map<uint64_t, uint32_t> edges_; // node << 32 | lexeme
    std::vector<uint32_t> outcomes_, rewritten_;
    uint32_t pattern_lexemes_ = 0; // lexemes below this are in patterns
    std::vector<Match> matches_;
    std::vector<uint8_t> seen_;
};

} // namespace tnl::corpus
