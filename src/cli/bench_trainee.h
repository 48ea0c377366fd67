// What a training step of a benchmark works on: the trainer's learner, random weights, a made-up
// batch.
#pragma once

#include "cli/bench_common.h"
#include "train/learner.h"

namespace tnl {

struct TraineeOptions {
    std::string preset = "25M", dtype = "f32";
    int64_t batch = 8, length = 512; // sequences, tokens of each
    int64_t head_chunk = 0;          // rows of logits; 0: as the trainer chooses
    Recomputation recompute = Recomputation::none;
    Products products = Products::dtype;
    OptimizerConfig optimizer;
    bool carry = false; // a batch is a piece of longer sequences: the state passes on
};

class Trainee {
  public:
    Trainee(Device& device, const TraineeOptions& options);

    // One step, as the trainer does it; returns the mean loss before it.
    double step();
    // Forward and loss alone, nothing kept for a backward.
    double forward();

    const Model& model() const { return model_; }
    Learner& learner() { return learner_; }

  private:
    Device& device_;
    TrainConfig config_;
    Model model_;
    Learner learner_;
    TokenRows batch_;
    bool carry_;
};

} // namespace tnl
