// Texts to tokens, with what the filters ask of a token worked out once: a thread meets most pieces
// of text again and again.
#pragma once

#include "corpus/words/segmenter.h"
#include "corpus/words/splitter.h"
#include "corpus/words/text_table.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tnl::corpus {

// A token's text and properties; equal texts have the same lexeme.
struct Lexeme {
    enum Flags : uint32_t {
        kWhite = 1,         // white space, no word
        kAlpha = 2,         // a character is alphabetic
        kText = 4,          // a character is not in datatrove's PUNCTUATION_SET
        kAllPunct = 8,      // every character is of category P (spaCy's is_punct)
        kEndsSentence = 16, // is one of the sentencizer's characters
    };
    uint32_t offset, bytes; // of its text
    uint32_t characters;
    uint32_t flags;
    uint32_t count; // for who counts; 0 when nobody does
};

// Which tokens of a text are asked for.
enum class TokensOf { words, all }; // all: white space (more than single spaces), too

class Lexicon {
  public:
    // segmenter: for WordRules::chinese, and must outlive this.
    explicit Lexicon(WordRules rules, const Segmenter* segmenter = nullptr);

    // A token: the number of its lexeme, whether it is the first after a space, whether that is a
    // token of white space, and whether a special case may begin here.
    static constexpr uint32_t kAfterSpace = uint32_t{1} << 31, kAfterWhite = uint32_t{1} << 30;
    static constexpr uint32_t kBegins = uint32_t{1} << 29, kLexeme = kBegins - 1;
    // The tokens of a text (valid UTF-8) in order, as spaCy makes them. `joined`, if given,
    // receives the words without anything between them.
    void tokenize(std::string_view text, TokensOf which, std::vector<uint32_t>& tokens,
                  std::string* joined = nullptr);

    const Lexeme& operator[](uint32_t token) const { return lexemes_[token & kLexeme]; }
    uint32_t& count(uint32_t token) { return lexemes_[token & kLexeme].count; }
    std::string_view text(uint32_t token) const {
        const Lexeme& lexeme = (*this)[token];
        return std::string_view(texts_).substr(lexeme.offset, lexeme.bytes);
    }
    uint32_t lexeme_of(std::string_view text) { return intern(text); }
    // Forgets what it knows if that takes more than `bytes`; tokens from before lose their meaning.
    void limit(size_t bytes = size_t{64} << 20);

  private:
    struct Piece { // what is between spaces
        std::string_view text;
        bool white;
        TextKey key;
    };
    struct Match {
        uint32_t begin, end; // tokens
        uint32_t node;
    };
    void add_pieces(const Piece* pieces, size_t count, std::vector<uint32_t>& tokens);
    TextTable::Slot& split_piece(const Piece& piece);
    uint32_t intern(std::string_view text);
    uint32_t token_of(std::string_view text);
    Lexeme describe(std::string_view text) const;
    void clear();
    void add_pattern(const std::string& text, const std::vector<std::string>& parts);
    void apply_patterns(std::vector<uint32_t>& tokens);
    void find_matches(const std::vector<uint32_t>& tokens);
    void keep_longest(size_t tokens);

    Splitter splitter_;
    const Segmenter* segmenter_;
    Segmenter::Scratch scratch_;
    const uint32_t* bits_;
    std::string texts_; // of lexemes
    std::vector<Lexeme> lexemes_;
    std::vector<uint32_t> parts_, lengths_;
    TextTable pieces_; // value: the token, or, where the count is not 1, where they begin in parts_
    TextTable by_text_; // value: the lexeme
    bool after_white_ = false;

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
    std::vector<uint8_t> begins_; // of lexemes in patterns: a pattern begins with it
};

} // namespace tnl::corpus
