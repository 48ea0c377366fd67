// Scripts that run a command of the corpus on a cluster.
#pragma once

#include "cli/corpus_options.h"

#include <functional>
#include <string>
#include <vector>

namespace tnl {

struct SlurmStage {
    std::string name;
    size_t pieces;      // units of work: no more tasks than that
    bool named = false; // one of several, told by --stage
};

struct SlurmOptions {
    int tasks = 100;                  // of an array
    int array_limit = 1001;           // MaxArraySize of the cluster: indexes are below it
    int threads = 1;                  // of a task
    uint64_t memory = 0;              // bytes of a task
    std::string prefix;               // of the jobs' names
    std::vector<std::string> command; // without the options of stage and task
};

// A shell script for a login node: one sbatch array a stage, each after the one before is done
// without a fault. Started again it does what is left. Tasks know who they are by
// SLURM_ARRAY_TASK_ID.
std::string slurm_script(const std::vector<SlurmStage>& stages, const SlurmOptions& options);

// --emit-slurm, --slurm-tasks, --slurm-array-limit of a command.
struct SlurmCommand {
    bool emit = false;
    SlurmOptions options;
    std::string name;                                  // of the command
    std::function<std::vector<std::string>()> written; // its line, without these options
    std::string script(const std::vector<SlurmStage>& stages, const CorpusOptions& corpus) const;
};
void add_slurm_options(CLI::App& command, SlurmCommand& slurm); // which must outlive the command

} // namespace tnl
