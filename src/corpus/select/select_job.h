// The documents that a model's scores are good enough for, as two stages of work on files
// (jobs/workspace.h):
//   thresholds  thresholds.json: of all scores                                    one unit
//   select      kept/<name>.jsonl.zst, dropped/<name>.jsonl.zst of every input    one a file
#pragma once

#include "corpus/dedup/job.h"
#include "corpus/filter/dropped.h"
#include "corpus/select/thresholds.h"

namespace tnl::corpus {

struct SelectOptions {
    std::filesystem::path scores;     // what score wrote of the same inputs: its directory
    QuantileOptions quantiles;        // memory and scratch are the job's
    std::filesystem::path thresholds; // a file of them instead of quantiles; empty: none
    int64_t min_tokens = 1;           // documents with fewer predicted tokens go
    Dropped dropped = Dropped::reasons;
    int level = 3; // of zstd
};

struct SelectReport {
    std::vector<StageReport> stages;
    Json counts;     // nested, of all inputs; empty until all are done
    Json thresholds; // thresholds.json, likewise
};

// Documents go by the rules tokens, perplexity_low, perplexity_high (bits_per_byte_low, ...), in
// this order, with value and threshold. When nothing is left, stats.json in the workspace holds
// options, thresholds, who made the scores, and counts: documents, bytes (of texts),
// kept_documents, kept_bytes, dropped by rule, and before and after: what ScoreTally says of
// scores. Throws naming files where scores are not those of the inputs.
SelectReport run_select(const DedupJob& job, const SelectOptions& options,
                        const std::function<void(const StageReport&)>& after_each = {});

} // namespace tnl::corpus
