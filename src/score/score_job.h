// Scoring as a stage of work on files (corpus/jobs/workspace.h): a unit for each input, whose
// output is scores/<name>.jsonl.zst, a line a document (corpus/scores/document_score.h). Documents
// of any length are read once, from their beginning, with a state of constant size.
#pragma once

#include "corpus/dedup/job.h"
#include "infer/loaded_model.h"
#include "score/token_source.h"

#include <optional>

namespace tnl::corpus {

struct ScoreOptions {
    std::filesystem::path model; // directory
    std::string device = "auto", dtype = "auto";
    std::optional<bool> bos; // documents begin with the bos token; absent: as config.json says
    bool eos = false;        // the end of a document is predicted, too
    int64_t chunk = 0;       // tokens of one call; 0: 2048, on a GPU 32768
    // Where records name them; with dots between nested fields.
    Groups group_fields = {"source", "category", "language"};
};

// What is known only of a run, not of its outputs: for speed.
struct ScoreProgress {
    int64_t documents = 0, tokens = 0, bytes = 0; // scored by this process
    double model_seconds = 0;                     // of it, spent in the model
};

struct ScoreReport {
    Workspace::Progress progress;
    Json counts; // nested, of all inputs; empty until all are done
    ScoreProgress here;
    double seconds = 0;       // without loading the model
    double forward_flops = 0; // of a token
    std::string device, dtype;
};

// Scores this task's inputs, and what no other task has claimed; what was done before by the same
// weights, tokenizer and options is passed over. When nothing is left, stats.json in the workspace
// says by what and how (its `made_by`), and sums. Throws naming file and line of a bad record, and
// of a document whose loss is not finite.
ScoreReport run_scores(const DedupJob& job, const ScoreOptions& options,
                       const std::function<void(const ScoreProgress&)>& progress = {});

} // namespace tnl::corpus
