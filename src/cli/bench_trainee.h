// What a training step of a benchmark works on: a model of random weights, a made-up batch, and all
// that AdamW needs.
#pragma once

#include "cli/bench_common.h"

namespace tnl {

struct TraineeOptions {
    std::string preset = "25M", dtype = "f32";
    int64_t batch = 8, length = 512; // sequences, tokens of each
    int64_t head_chunk = 0;          // rows of logits; 0: 1024, on a GPU 4096
    Recompute recompute = Recompute::none;
    Products products = Products::dtype;
    bool carry = false; // a batch is a piece of longer sequences: the state passes on
};

// Master weights are kept apart from the working copy where that is narrower than f32.
class Trainee {
  public:
    Trainee(Device& device, const TraineeOptions& options);

    // One step, as the trainer does it; returns the mean loss before it. timed: under the clock of
    // each kernel (ops/timed.h).
    double step(bool timed);

    const Model& model() const { return model_; }
    Tensor weights() const { return weights_; }
    size_t activation_bytes() const { return sizes_.activations.peak() + sizes_.scratch.peak(); }

  private:
    void make_batch();

    Device& device_;
    TraineeOptions o_;
    DType dtype_;
    Kernels timed_;
    Model model_;
    int64_t n_;
    OwnedTensor weights_, wide_, gradients_, m_, v_, norm_, loss_, slopes_, ids_, positions_,
        targets_;
    Tensor master_;
    int64_t chunk_;
    ArenaSizes sizes_;
    Arena activations_, scratch_, state_memory_;
    States states_[2]; // before and after the batch, in turns
    Batch batch_;
    int64_t count_ = 0;
};

} // namespace tnl
