// Filtering as a stage of work on files (jobs/workspace.h): a unit for each input, whose outputs
// are kept/<name>.jsonl.zst and dropped/<name>.jsonl.zst (filter_file.h).
#pragma once

#include "corpus/filter/filter_file.h"
#include "corpus/jobs/workspace.h"

namespace tnl::corpus {

struct FilterJob {
    std::vector<Input> inputs;
    std::filesystem::path output; // the workspace
    FilterOptions options;
    size_t memory = size_t{4} << 30; // bytes of the process
    int threads = 1;
    Task task;
};

struct FilterReport {
    Workspace::Progress progress;
    // Sums over all inputs, once all of them are done, by whichever task; empty before: documents,
    // bytes (of texts, read), kept_documents, kept_bytes (written), rewritten, skipped, replaced,
    // passed_over, and dropped by step and rule: {"documents", "bytes"}.
    Json counts;
    double seconds = 0;
};

// Filters this task's inputs, and what no other task has claimed; what was done before with the
// same rules is passed over. When nothing is left, stats.json in the workspace holds rules and
// counts. Throws naming file and line of a bad record, and UsageError for too little memory.
FilterReport run_filter(const FilterJob& job, const FilterPlan& plan,
                        const std::function<void(int64_t)>& progress = {});

} // namespace tnl::corpus
