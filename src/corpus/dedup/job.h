// What every kind of deduplication is given, and its last stage: the documents that stay.
#pragma once

#include "corpus/io/record_parser.h"
#include "corpus/jobs/workspace.h"
#include "corpus/tasks.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace tnl::corpus {

struct DedupJob {
    std::vector<Input> inputs;    // file F is inputs[F]
    std::filesystem::path output; // the workspace
    RecordOptions records;
    size_t memory = size_t{4} << 30; // bytes of the process
    int threads = 1;
    Task task;
    std::string stage = "all"; // of the kind's stages, or "all"
    std::string mode;          // named as the rule by which documents were dropped

    int workers(size_t units) const;          // units that are worked on at once
    size_t worker_memory(size_t units) const; // bytes for each of them
    // What documents are depends on: part of every stage's parameters.
    std::string record_parameters() const;
    RecordOptions worker_records(size_t units) const;
};

// Documents have numbers: of a file's records those with a text that is not empty, from 0.
constexpr size_t kMostDocuments = UINT32_MAX; // of a file

// A stage of a unit for each input, NAME-FFFFFF, or for each of `parts` parts, NAME-PP. run gets
// its number.
Stage stage_of_files(const DedupJob& job, const std::string& name, std::string parameters,
                     const std::string& after,
                     const std::function<Json(size_t file, UnitOutputs& outputs)>& run);
Stage stage_of_parts(int parts, const std::string& name, std::string parameters,
                     const std::string& after,
                     const std::function<Json(int part, UnitOutputs& outputs)>& run);

// A stage is made when those before it are done, from their digest.
struct StageMaker {
    std::string name;
    std::function<Stage(const std::string& after)> make;
};
struct StageReport {
    std::string name;
    Workspace::Progress progress;
    Json counts;
    double seconds = 0;
};
// Runs all of them one after the other, or the one that the job asks for, when those before it are
// done. Reports what was run.
std::vector<StageReport> run_stages(Workspace& workspace, const DedupJob& job,
                                    const std::vector<StageMaker>& stages,
                                    const std::function<void(const StageReport&)>& after_each);

// kept/<name>.jsonl.zst and dropped/<name>.jsonl.zst of every input, from remove/FFFFFF.remove
// (clusters.h). A dropped document is {"id", "file", "document", "rule"}.
Stage filter_stage(const DedupJob& job, const std::string& after);

} // namespace tnl::corpus
