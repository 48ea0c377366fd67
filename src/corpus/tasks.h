// Work spread over tasks that do not talk: which files are whose is a function of the list of files
// and of (task, world) alone.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace tnl::corpus {

struct Task {
    int index = 0, world = 1;
};

// What the user said, else what the environment says: a Slurm array (SLURM_ARRAY_TASK_ID; the world
// is its size where it counts from 0 without gaps), Open MPI (OMPI_COMM_WORLD_RANK, _SIZE), MPICH
// and others (PMI_RANK, PMI_SIZE), a Kubernetes indexed job (JOB_COMPLETION_INDEX; the world must
// be said), else task 0 of 1. Throws UsageError where the two do not make 0 <= index < world.
// `environment` stands for getenv in tests.
Task find_task(std::optional<int> index, std::optional<int> world,
               const std::function<const char*(const char*)>& environment = {});

// The task's share of 0 .. count-1: index, index + world, ...
std::vector<size_t> share_of(size_t count, Task task);

// A stage's input and the name of what is made of it: its path without the directory that all
// inputs have in common and without .jsonl, .txt, .warc, .wet, .gz and the like.
struct Input {
    std::filesystem::path path;
    std::string name;
};
// inputs: files and wildcards; sorted by path. Throws UsageError naming an input that matches
// nothing, that is given twice, or two of one name.
std::vector<Input> find_inputs(const std::vector<std::string>& inputs);

} // namespace tnl::corpus
