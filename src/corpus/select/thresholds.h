// Bounds of a measure, for all documents or for each group of them, as quantiles of scores.
#pragma once

#include "base/json.h"
#include "corpus/scores/document_score.h"

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tnl::corpus {

struct Bounds {
    std::optional<double> low, high; // values below and above go; absent: none
    int64_t documents = 0;           // with a value, of which they are the quantiles
};

struct Thresholds {
    Measure by = Measure::perplexity;
    std::vector<Group> per;          // groups are the combinations of these
    Bounds all;                      // of groups that are not named
    std::map<Groups, Bounds> groups; // names of what is not in `per` are ""

    // The document's group: its names of `per`.
    Groups group_of(const Groups& names) const;
    const Bounds& of(const Groups& names) const;

    // {"by": "perplexity", "per": ["language"], "all": {"documents", "low", "high"},
    //  "groups": [{"language": "en", "documents", "low", "high"}, ...]}
    Json json() const;
    // Throws naming file, field, value and what is wanted.
    static Thresholds load(const std::filesystem::path& path);
};

struct QuantileOptions {
    Measure by = Measure::perplexity;
    std::vector<Group> per;
    double low = 0, high = 1;        // of n values in order the first low n go, and all behind the
                                     // first high n, rounded; equal values stay or go together
    std::optional<double> min, max;  // bounds whatever the quantiles are
    int64_t least_documents = 1;     // groups with fewer take the bounds of all
    size_t memory = size_t{1} << 30; // bytes, beyond which values are sorted on disk
    std::filesystem::path scratch;   // where: a directory
};

// The thresholds of what `next` gives until it answers false. Exact: values are sorted.
Thresholds find_thresholds(const QuantileOptions& options,
                           const std::function<bool(DocumentScore&)>& next);

} // namespace tnl::corpus
