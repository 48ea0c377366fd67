// Gopher's rules of quality (Rae et al. 2021, arXiv 2112.11446, appendix A.1), as datatrove's
// GopherQualityFilter computes them. 0 leaves a rule out.
#pragma once

#include "corpus/rules/document.h"
#include "corpus/rules/verdict.h"

#include <string>
#include <vector>

namespace tnl::corpus {

struct GopherQuality {
    int64_t min_doc_words = 50, max_doc_words = 100000;
    double min_avg_word_length = 3, max_avg_word_length = 10;
    double max_symbol_word_ratio = 0.1, max_bullet_lines_ratio = 0.9;
    double max_ellipsis_lines_ratio = 0.3, max_non_alpha_words_ratio = 0.8;
    int64_t min_stop_words = 2;
    std::vector<std::string> stop_words = {"the", "be", "to", "of", "and", "that", "have", "with"};

    template <class V> void fields(V&& visit) {
        visit("min_doc_words", min_doc_words, "fewest words with more than punctuation");
        visit("max_doc_words", max_doc_words, "most words with more than punctuation");
        visit("min_avg_word_length", min_avg_word_length, "least mean length of these, characters");
        visit("max_avg_word_length", max_avg_word_length, "largest mean length of these");
        visit("max_symbol_word_ratio", max_symbol_word_ratio,
              "most # for each word, and most ellipses");
        visit("max_bullet_lines_ratio", max_bullet_lines_ratio,
              "largest share of lines that begin with a bullet or -");
        visit("max_ellipsis_lines_ratio", max_ellipsis_lines_ratio,
              "largest share of lines that end with an ellipsis");
        visit("max_non_alpha_words_ratio", max_non_alpha_words_ratio,
              "least share of words with a letter (datatrove's name says the opposite)");
        visit("min_stop_words", min_stop_words, "fewest different stop words");
        visit("stop_words", stop_words, "the stop words");
    }
};

Verdict check(const GopherQuality& rules, DocumentView& document);

} // namespace tnl::corpus
