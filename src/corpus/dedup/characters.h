// What simplification (simplify.h) makes of one character. Characters above ASCII are looked up in
// ICU's data once, in a table.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

// The character that begins at text[at], which `at` then stands behind. Bytes that are no UTF-8 are
// one U+FFFD each.
char32_t next_character(std::string_view text, size_t& at);
void append_utf8(std::string& out, char32_t character);

// As Python's: str.isspace, the set that datatrove takes for punctuation, \p{Nd}, str.lower of one
// character (at most two; U+03A3 without its context).
bool is_space(char32_t character);
bool is_punctuation(char32_t character);
bool is_digit(char32_t character);
bool is_decimal_separator(char32_t character);
std::u32string lower(char32_t character);

// The lower case of the U+03A3 that begins at text[at]: U+03C2 at the end of a word, else U+03C3.
char32_t lower_sigma(std::string_view text, size_t at);

// The canonical decomposition (NFD) of the text without characters of category Mn.
std::u32string without_marks(const std::u32string& text);

// All of lower case, punctuation, white space, decomposition and marks for a character that is not
// ASCII.
struct Simplified {
    enum Kind : uint8_t {
        same,     // stays as it is
        space,    // white space or punctuation
        digit,    // \p{Nd}
        sigma,    // depends on what stands around it
        other,    // becomes `text`, which may be empty
        reordered // its place depends on its neighbours': the document needs NFD as a whole
    };
    Kind kind;
    std::string_view text;
};
class SimplifiedCharacters {
  public:
    static const SimplifiedCharacters& table();
    Simplified operator[](char32_t character) const {
        if (character >= entries_.size()) return {kind_of(character), beyond(character)};
        const Entry entry = entries_[character];
        return {entry.kind, std::string_view(pool_).substr(entry.begin, entry.length)};
    }

  private:
    SimplifiedCharacters();
    static Simplified::Kind classify(char32_t character, std::string& text);
    static Simplified::Kind kind_of(char32_t character);
    static std::string_view beyond(char32_t character);
    struct Entry {
        Simplified::Kind kind;
        uint8_t length;
        uint32_t begin;
    };
    std::vector<Entry> entries_; // of the planes that texts are in, 0 and 1
    std::string pool_;
};

} // namespace tnl::corpus
