// Writes a run's checkpoints beside its steps: a step waits until the learner is copied to the
// host's memory, not for the disk.
#pragma once

#include "base/background.h"
#include "train/checkpoint.h"
#include "train/learner_copy.h"

#include <filesystem>
#include <optional>

namespace tnl {

class CheckpointWriter {
  public:
    // All must outlive this; nobody else saves to the store.
    CheckpointWriter(CheckpointStore& store, const TrainConfig& config, const Learner& learner,
                     std::optional<std::filesystem::path> tokenizer, AdapterBase base)
        : store_(store), config_(config), learner_(learner), tokenizer_(std::move(tokenizer)),
          base_(std::move(base)) {}

    // Begins to write the checkpoint of `state` and of the learner as it is now, once the one
    // before is written. Where a copy of the learner would take more than half of the memory that
    // the host has free, returns only when it is written. Throws as check() does.
    void save(const TrainerState& state);
    // Throws where a checkpoint could not be written, naming its step; once for each.
    void check();
    void wait(); // until all is written; throws likewise

  private:
    void write(const TrainerState& state, const LearnerView& view);
    CheckpointStore& store_;
    const TrainConfig& config_;
    const Learner& learner_;
    std::optional<std::filesystem::path> tokenizer_;
    AdapterBase base_;
    std::optional<LearnerCopy> copy_; // from the first save on, where there is memory
    Background background_;           // last: it ends before what it uses
};

} // namespace tnl
