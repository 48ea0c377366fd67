// The cleaning of TransNormerLLM's corpus (Qin et al. 2023, arXiv 2307.14995, appendix D): tags and
// addresses go, so do garbled strings and repeated punctuation, characters and digits get one form,
// and Markdown and LaTeX stay. The paper names the rules; their bounds are ours.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

struct CleanRules {
    bool characters = true, numbers = true, tags = true, urls = true, punctuation = true;
    bool garbled = true;
    double max_garbled = 0.5;

    template <class V> void fields(V&& visit) {
        visit("characters", characters,
              "control and invisible characters go, every end of line is \\n, every space is ' '");
        visit("numbers", numbers, "full-width and mathematical digits become 0 to 9");
        visit("tags", tags,
              "HTML elements go, script and style with all that is in them; entities become "
              "characters");
        visit("urls", urls, "addresses go; of a Markdown link its text stays");
        visit("punctuation", punctuation, "of repeated punctuation one mark stays, ... of periods");
        visit(
            "garbled", garbled,
            "lines go that are wrongly decoded, of long strings without spaces, or of few letters");
        visit("max_garbled", max_garbled,
              "largest share of characters in such lines; a document with more is dropped");
    }
};

struct Cleaned {
    size_t characters = 0, garbled = 0; // of the text, and of its garbled lines
    double share() const {
        return characters == 0 ? 0 : static_cast<double>(garbled) / static_cast<double>(characters);
    }
};

// All of it; `out` receives the text. The text must be valid UTF-8, and out is.
Cleaned clean(const CleanRules& rules, std::string_view text, std::string& out);

// ---- the parts, in their order ----

// Code and formulas, [begin, end) in bytes, in order: fenced and inline code of Markdown, $...$,
// $$...$$, \(...\), \[...\] and \begin{x}...\end{x} of LaTeX. Nothing within them is changed.
struct Span {
    size_t begin, end;
};
void find_protected(std::string_view text, std::vector<Span>& spans);

// Whether a line is wrongly decoded (U+FFFD; Ã©), has a string of 100 characters that looks
// encoded, or is of characters of which less than a quarter are letters or digits.
bool is_garbled(std::string_view line);
// Lines without those that are garbled and not protected.
Cleaned drop_garbled(std::string_view text, std::string& out);

void clean_characters(std::string_view text, bool characters, bool numbers, std::string& out);
void strip_tags(std::string_view text, std::string& out); // entities, too
void strip_urls(std::string_view text, std::string& out);
void strip_repeated_punctuation(std::string_view text, std::string& out);

// Bytes of a set.
class ByteSet {
  public:
    constexpr explicit ByteSet(std::string_view bytes) {
        for (const char c : bytes) is_[static_cast<unsigned char>(c)] = true;
    }
    constexpr bool operator()(char c) const { return is_[static_cast<unsigned char>(c)]; }
    // Where the next of them stands; the text's size: nowhere.
    size_t next(std::string_view text, size_t at) const {
        while (at < text.size() && !(*this)(text[at])) ++at;
        return at;
    }

  private:
    bool is_[256] = {};
};

} // namespace tnl::corpus
