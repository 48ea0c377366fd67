// A sample of scored documents for people to grade: equally many from each interval of scores, and
// from each group where that is asked for.
#pragma once

#include "base/json.h"
#include "corpus/dedup/job.h"
#include "corpus/scores/document_score.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace tnl::corpus {

struct SampleOptions {
    std::filesystem::path scores; // what score wrote of the same inputs
    std::string title = "Grading";
    Measure by = Measure::perplexity;
    int64_t strata = 10;     // intervals of scores with equally many documents
    std::vector<Group> per;  // and of each combination of these
    int64_t documents = 200; // in all, about
    uint64_t seed = 1;
    size_t text_bytes = 6000; // of a document; what is longer is cut
};

// {"sample": a name that follows from its documents, "title", "by", "per", "documents": [{"key",
//  "id", "file", "index", "value", "stratum", "weight": documents of the corpus that it stands for,
//  "source", "category", "language", "bytes", "text"}]}, in random order. Depends on inputs, scores
// and options alone. Throws as select does where scores are not those of the inputs.
Json draw_sample(const DedupJob& job, const SampleOptions& options);

// One HTML file: read, grade, save, compare graders. Works without a network.
std::string grading_page(const Json& sample);

} // namespace tnl::corpus
