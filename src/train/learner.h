// The arithmetic of one training step: a model, its weights, gradients and optimizer on a device,
// with all memory taken before the first step.
#pragma once

#include "train/batch_source.h"
#include "train/optimizer.h"
#include "train/pieces.h"

#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tnl {

// Bytes of device memory that a run takes.
struct MemoryPlan {
    Recompute recompute = Recompute::none;             // what train.recompute comes to
    size_t activations = 0, scratch = 0;               // arenas, for training and for evaluation
    size_t total = 0;                                  // with weights, gradients, moments
    std::vector<std::pair<std::string, size_t>> lines; // what total sums
    // Likewise, of the host's memory (optimizer.memory=host).
    size_t host_total = 0;
    std::vector<std::pair<std::string, size_t>> host_lines;
    std::string table; // a line for each: "name  MiB"
};
MemoryPlan plan_memory(const TrainConfig& config, const Model& model, Device& device);

class Learner {
  public:
    // Throws, with a table of what is needed, where the device has too little memory. Weights are
    // not set: call set_weights.
    Learner(const TrainConfig& config, const Model& model, Device& device);

    // From f32 host values [flat_size]: those that are trained as optimizer().set_master does, the
    // frozen ones rounded to the run's dtype.
    void set_weights(const float* host);
    void set_frozen(const float* host); // the latter only

    // Mean loss (nats per counted target) over all micro-batches of a step, and its gradient.
    // Without any (a step of prompts alone) all three are 0.
    struct Step {
        double loss = 0;
        double norm = 0; // of the gradient, before clipping
        int64_t counted = 0;
    };
    Step gradients(std::span<const TokenRows> micro_batches);
    // Applies the gradient that gradients() left, clipped.
    void update(double lr, double norm);

    // Sum of the loss over the counted targets of one micro-batch, in nats.
    double loss_sum(const TokenRows& batch);

    // Where a step may end amid sequences: the states that the next step's pieces go on from, layer
    // by layer; else empty. A checkpoint keeps them.
    const States& carried() const { return pieces_.now(); }

    // From here on calls go through this table, such as one that times them (ops/timed.h). It must
    // outlive its use.
    void use(const Kernels& kernels);

    const MemoryPlan& memory() const { return memory_; }
    const Model& model() const { return model_; }
    Device& device() const { return device_; }
    Optimizer& optimizer() { return optimizer_; }
    const Optimizer& optimizer() const { return optimizer_; }
    Tensor weights() const { return weights_; }

  private:
    Batch upload(const TokenRows& host);
    void truncated(Run& run, std::span<const TokenRows> micro_batches, float scale);
    void exact(Run& run, std::span<const TokenRows> sequence, int64_t first, float scale);
    void add_gradients(Run& run, const TokenRows& host, int64_t index, float scale,
                       const Passing& states);

    const Model& model_;
    Device& device_;
    const Kernels* kernels_;
    DType dtype_;
    Products products_;
    int64_t head_chunk_, pieces_per_sequence_;
    Through through_;
    int64_t rows_;
    MemoryPlan memory_;
    Recompute recompute_;
    OwnedTensor weights_, gradients_; // [flat_size] dtype, [trained_size] f32
    Optimizer optimizer_;
    OwnedTensor ids_, positions_, targets_; // [rows]
    OwnedTensor slots_;                     // [rows], with train.pieces alone
    OwnedTensor loss_;                      // [rows] f32
    OwnedTensor sums_;                      // [micro-batches + 1] f64
    OwnedTensor slopes_;
    Arena activations_, scratch_;
    PieceStates pieces_;
};

} // namespace tnl
