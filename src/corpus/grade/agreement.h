// What graders say of a sample: whether they agree, and which thresholds their grades suggest.
#pragma once

#include "base/json.h"
#include "corpus/select/thresholds.h"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tnl::corpus {

enum class Grade { bad, unsure, good };
std::vector<std::pair<std::string_view, Grade>> enum_names(Grade);

struct GradedDocument {
    std::string key;
    double value = 0, weight = 1;
    int64_t stratum = 0;
    Groups groups;
};
struct Grader {
    std::string name;
    std::map<std::string, Grade> grades; // by document's key
};
struct GradedSample {
    std::string name;
    Measure by = Measure::perplexity;
    std::vector<Group> per;
    std::vector<GradedDocument> documents;
};

// sample: as draw_sample has it. Throws naming file, field and value.
GradedSample read_sample(const std::filesystem::path& path);
// What the page saved: {"sample", "grader", "grades": {KEY: {"grade", "note"}}}. Throws naming the
// file where it is of another sample, and a document or grade that is not known.
Grader read_grades(const std::filesystem::path& path, const GradedSample& sample);

// Cohen's kappa (1960) of what both graded: (p_o - p_e) / (1 - p_e), p_o the share of documents
// with the same grade, p_e that expected of two who grade independently with their own frequencies.
struct Agreement {
    int64_t documents = 0;       // graded by both
    double share = 0;            // p_o
    std::optional<double> kappa; // absent where p_e is 1, or nothing was graded by both
};
Agreement agreement(const Grader& a, const Grader& b);

// The grade of most; absent where there is none, where as many say good as bad, or where most are
// unsure.
std::optional<bool> verdict(const std::vector<Grader>& graders, const std::string& key);

struct Suggestion {
    Bounds bounds;
    int64_t graded = 0;   // documents with a verdict
    double precision = 0; // of what lies between the bounds, by weight
    double kept = 0;      // share of all graded documents between them, by weight
    double recall = 0;    // share of the good ones
};
// The interval of values that keeps most of them with at least this share of good ones; bounds are
// left out where nothing lies beyond. Absent where no interval reaches it.
std::optional<Suggestion> suggest(const std::vector<std::pair<GradedDocument, bool>>& judged,
                                  double precision);

} // namespace tnl::corpus
