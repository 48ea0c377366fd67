// Options that the stages of a corpus have in common: inputs, records, memory, threads, tasks.
#pragma once

#include "cli/cli.h"
#include "corpus/dedup/job.h"

#include <optional>

namespace tnl {

struct CorpusOptions {
    std::vector<std::string> inputs;
    std::string output;
    corpus::RecordOptions records;
    uint64_t memory = uint64_t{4} << 30;
    int threads = 0;
    std::optional<int> task, world;
};

void add_corpus_options(CLI::App& command, CorpusOptions& options);

// Finds inputs and task, and checks the rest.
corpus::DedupJob make_job(const CorpusOptions& options);

} // namespace tnl
