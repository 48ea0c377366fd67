// Gopher's rules of repetition (Rae et al. 2021, arXiv 2112.11446, table A1), as datatrove's
// GopherRepetitionFilter computes them. Shares are of elements, or of characters of the whole text.
#pragma once

#include "corpus/rules/document.h"
#include "corpus/rules/repeats.h"
#include "corpus/rules/verdict.h"

#include <string>
#include <vector>

namespace tnl::corpus {

struct GopherRepetition {
    double dup_line_frac = 0.3, dup_para_frac = 0.3; // 0 leaves these four out
    double dup_line_char_frac = 0.2, dup_para_char_frac = 0.2;
    std::vector<std::vector<double>> top_n_grams = {{2, 0.2}, {3, 0.18}, {4, 0.16}};
    std::vector<std::vector<double>> dup_n_grams = {{5, 0.15}, {6, 0.14}, {7, 0.13},
                                                    {8, 0.12}, {9, 0.11}, {10, 0.1}};

    template <class V> void fields(V&& visit) {
        visit("dup_line_frac", dup_line_frac, "largest share of lines that were there before");
        visit("dup_para_frac", dup_para_frac, "largest share of paragraphs that were there before");
        visit("dup_line_char_frac", dup_line_char_frac, "characters of such lines");
        visit("dup_para_char_frac", dup_para_char_frac, "characters of such paragraphs");
        visit("top_n_grams", top_n_grams,
              "pairs of n and the largest share of characters of the most frequent n words");
        visit("dup_n_grams", dup_n_grams,
              "pairs of n and the largest share of characters of n words that were there before");
    }
    // Throws UsageError naming field, value, and what is wanted: n from 1 to 64, rising in
    // top_n_grams.
    void validate(const std::string& place) const;
};

Verdict check(const GopherRepetition& rules, DocumentView& document, Repeats& repeats);

} // namespace tnl::corpus
