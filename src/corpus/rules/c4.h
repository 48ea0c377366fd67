// C4's rules (Raffel et al. 2019, arXiv 1910.10683, section 2.2), as datatrove's C4QualityFilter,
// C4ParagraphFilter and C4BadWordsFilter compute them.
#pragma once

#include "corpus/rules/document.h"
#include "corpus/rules/verdict.h"

#include <filesystem>
#include <memory>
#include <string>

namespace tnl::corpus {

struct C4Quality {
    bool remove_citations = true, filter_no_terminal_punct = true;
    int64_t min_num_sentences = 5, min_words_per_line = 3, max_word_length = 1000;
    bool filter_lorem_ipsum = true, filter_javascript = true, filter_curly_bracket = true;
    bool filter_policy = true;

    template <class V> void fields(V&& visit) {
        visit("remove_citations", remove_citations, "take out [1], [edit], [citation needed]");
        visit("filter_no_terminal_punct", filter_no_terminal_punct,
              "take out lines that do not end in . ? ! \" or '; FineWeb does not");
        visit("min_num_sentences", min_num_sentences, "fewest sentences left; -1: any");
        visit("min_words_per_line", min_words_per_line,
              "take out lines of fewer words between spaces; -1: none");
        visit("max_word_length", max_word_length,
              "take out lines with a longer word, characters; -1: none");
        visit("filter_lorem_ipsum", filter_lorem_ipsum, "drop documents with \"lorem ipsum\"");
        visit("filter_javascript", filter_javascript, "take out lines with \"javascript\"");
        visit("filter_curly_bracket", filter_curly_bracket, "drop documents with {");
        visit("filter_policy", filter_policy,
              "take out lines about cookies, privacy policies and terms of use");
    }
};
// `text` receives the lines that are left, where the document is kept.
Verdict check(const C4Quality& rules, DocumentView& document, std::string& text);

// mC4: at least so many lines of so many characters.
struct C4Paragraphs {
    int64_t min_paragraphs = 3, min_paragraph_len = 200;
    template <class V> void fields(V&& visit) {
        visit("min_paragraphs", min_paragraphs, "fewest lines that are long");
        visit("min_paragraph_len", min_paragraph_len, "characters of a long line");
    }
};
Verdict check(const C4Paragraphs& rules, DocumentView& document);

// Documents with a word of a list, in any case, between characters that are no part of words (or
// anywhere, for languages that do not separate words).
class BadWords {
  public:
    // file: a word or phrase a line; blank lines are passed over.
    BadWords(const std::filesystem::path& file, bool anywhere);
    ~BadWords();
    BadWords(BadWords&&) noexcept;
    Verdict check(DocumentView& document) const;

  private:
    struct Tree;
    std::unique_ptr<const Tree> tree_;
    bool anywhere_;
};

} // namespace tnl::corpus
