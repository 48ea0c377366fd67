// What the stages of a corpus did, as one page: which rule dropped how much, how scores are
// distributed before and after, tables by group, near-duplicates with examples.
#pragma once

#include "base/json.h"

#include <filesystem>
#include <string>
#include <vector>

namespace tnl::corpus {

struct ReportOptions {
    std::string title = "Corpus report";
    std::vector<std::filesystem::path> stages; // outputs of filter, dedup, score, select, in order
    size_t memory = size_t{1} << 30;           // bytes, for near-duplicates
    int examples = 8;                          // clusters of near-duplicates that are shown
};

// All that the page shows:
//   {"title", "stages": [{"name", "directory", "made_by", and of all but score "documents",
//   "bytes",
//    "kept_documents", "kept_bytes", "dropped": [{"rule", "documents", "bytes"}]}],
//    "histograms": [{"name", "measure", "before": {BIN: documents}, "after", "marks"}],
//    "tables": [{"group", "name", "after", "rows", "more"}], "clusters": [...]}
// Bins: value_bin (scores/score_tally.h). Throws naming a directory that is no finished stage.
Json report_data(const ReportOptions& options);

// One HTML file that needs no other.
std::string report_page(const Json& data);

// Data for a page's <script type="application/json">: "<" is escaped.
std::string embedded_json(const Json& data);

} // namespace tnl::corpus
