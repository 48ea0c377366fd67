// Stages of work on files, resumable anywhere and shared by any number of processes.
//
// A stage is a list of units, each a function of its input files. A unit writes into a directory of
// its own; what it made is flushed, moved to its place, and then said in a manifest,
//   manifest/<unit>.json: {"unit", "parameters", "after", "inputs": [{"path", "bytes", "modified",
//                          "xxh3"}], "outputs": [{"path", "bytes", "xxh3"}], "counts": {...}}
// A unit whose manifest is there, with the same parameters, inputs and earlier stages, and whose
// outputs are there with the sizes it says, is done. So is a run that was killed and started again,
// or that many tasks of an array did together: units are claimed by leases (lease.h), and their
// outputs do not depend on who made them.
#pragma once

#include "base/json.h"
#include "corpus/jobs/lease.h"
#include "corpus/tasks.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tnl::corpus {

// Where a unit writes.
class UnitOutputs {
  public:
    UnitOutputs(std::filesystem::path root, std::filesystem::path scratch)
        : root_(std::move(root)), scratch_(std::move(scratch)) {}
    // The name under which to write what shall be `relative` to the workspace; its directory is
    // there. The file has to exist, whole and flushed (AtomicFile), when the unit ends.
    std::filesystem::path add(const std::filesystem::path& relative);
    const std::filesystem::path& scratch() const { return scratch_; } // emptied at the end
    const std::vector<std::filesystem::path>& names() const { return names_; }

  private:
    std::filesystem::path root_, scratch_;
    std::vector<std::filesystem::path> names_;
};

struct Unit {
    std::string name; // of files: letters, digits, "-", "_", "."
    std::vector<std::filesystem::path> inputs;
    std::function<Json(UnitOutputs&)> run; // answers its counts
};

struct Stage {
    std::string name;
    std::string parameters; // all that its outputs depend on beside inputs and earlier stages
    std::string after;      // Workspace::digest of the stages before
    std::vector<Unit> units;
};

class Workspace {
  public:
    Workspace(std::filesystem::path root, LeaseOptions leases = {});
    ~Workspace();

    const std::filesystem::path& root() const { return root_; }

    struct Progress {
        size_t units = 0, done_before = 0, done_here = 0, done_elsewhere = 0;
    };
    // Every unit, by `workers` threads: this task's share first, then what no other process has
    // claimed; with `wait` until all are done, else until there is nothing left to claim. Throws
    // what a unit throws, the first of them.
    Progress run(const Stage& stage, int workers, Task task, bool wait);
    bool done(const Stage& stage, const Unit& unit) const;
    // Throws naming a unit that is not done.
    void require(const Stage& stage) const;

    // Of all outputs of a stage that is done.
    std::string digest(const Stage& stage) const;
    // The sum of each count over the units of a stage that is done.
    Json counts(const Stage& stage) const;

  private:
    std::filesystem::path manifest_path(const Unit& unit) const;
    Json manifest(const Unit& unit) const;
    void remove_earlier(const Unit& unit, const std::vector<std::filesystem::path>& now) const;
    void execute(const Stage& stage, const Unit& unit) const;

    std::filesystem::path root_;
    Leases leases_;
};

} // namespace tnl::corpus
