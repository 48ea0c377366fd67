// FineWeb's own rules (Penedo et al. 2024, arXiv 2406.17557, section 3.6), as datatrove's
// FineWebQualityFilter computes them.
#pragma once

#include "corpus/rules/document.h"
#include "corpus/rules/repeats.h"
#include "corpus/rules/verdict.h"

namespace tnl::corpus {

struct FineWebQuality {
    double line_punct_thr = 0.12;
    bool line_punct_exclude_zero = false;
    double short_line_thr = 0.67;
    int64_t short_line_length = 30;
    double char_duplicates_ratio = 0.01; // datatrove's; the paper says 0.1
    double new_line_ratio = 0.3;

    template <class V> void fields(V&& visit) {
        visit("line_punct_thr", line_punct_thr,
              "least share of lines that end with terminal punctuation");
        visit("line_punct_exclude_zero", line_punct_exclude_zero,
              "documents where no line does are kept");
        visit("short_line_thr", short_line_thr, "largest share of short lines");
        visit("short_line_length", short_line_length, "most characters of a short line");
        visit("char_duplicates_ratio", char_duplicates_ratio,
              "largest share of characters in lines that were there before (the paper says 0.1, "
              "datatrove does 0.01)");
        visit("new_line_ratio", new_line_ratio, "most ends of lines for each word");
    }
};

Verdict check(const FineWebQuality& rules, DocumentView& document, Repeats& repeats);

} // namespace tnl::corpus
