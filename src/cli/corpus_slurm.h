// Scripts that run the stages of a corpus on a cluster.
#pragma once

#include <string>
#include <vector>

namespace tnl {

struct SlurmStage {
    std::string name;
    size_t pieces; // units of work: no more tasks than that
};

struct SlurmOptions {
    int tasks = 100;                  // of an array
    int array_limit = 1001;           // MaxArraySize of the cluster: indexes are below it
    int threads = 1;                  // of a task
    uint64_t memory = 0;              // bytes of a task
    std::vector<std::string> command; // without the options of stage and task
};

// A shell script for a login node: one sbatch array a stage, each after the one before is done
// without a fault. Started again it does what is left. Tasks know who they are by
// SLURM_ARRAY_TASK_ID.
std::string slurm_script(const std::vector<SlurmStage>& stages, const SlurmOptions& options);

} // namespace tnl
