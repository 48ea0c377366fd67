// Documents of many sources in the order in which they are trained on, as stages of work on files
// (jobs/workspace.h):
//   count     how much there is of each group                      one unit an input
//   scatter   scattered/FFFFFF.data, .index: copies by key         one an input
//   mix       mixed/part-BBBBB.jsonl.zst: copies in order          one a part
// Parts are read in the order of their names. scattered/ goes when all is done.
#pragma once

#include "corpus/dedup/job.h"
#include "corpus/mix/mix_plan.h"
#include "text/tokenizer.h"

namespace tnl::corpus {

struct MixOptions {
    // The field of a record that is its group, with dots between nested ones; "directory": that of
    // its file, below what all inputs have in common.
    std::string by = "source";
    MixWeights weights;
    uint64_t seed = 1;
    uint64_t part_bytes = uint64_t{256} << 20; // of text in a part, about
    const Tokenizer* tokenizer = nullptr;      // tokens are counted, too
    int level = 3;                             // of zstd
};

struct MixReport {
    std::vector<StageReport> stages; // those that were run
    Json groups; // [{"name", "documents", "bytes", "tokens", "epochs", "mixed_documents",
                 // "mixed_bytes"}], empty until all is done
    std::vector<std::filesystem::path> parts; // likewise
    std::string digest;                       // of them
};

// The bytes of mixed/ depend on inputs, their order by name, and options alone. When nothing is
// left, stats.json in the workspace says options and groups. Throws UsageError where a part does
// not fit into the job's memory.
MixReport run_mix(const DedupJob& job, const MixOptions& options,
                  const std::function<void(const StageReport&)>& after_each = {});

} // namespace tnl::corpus
