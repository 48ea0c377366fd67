// Computes again what was recorded of a model, in every form that this project has of it: all
// positions at once, as training does; prefill in pieces and decoding by the recurrence, as
// generation does; loss and gradients.
#pragma once

#include "infer/deviation.h"
#include "infer/recorded.h"
#include "model/model.h"

#include <optional>

namespace tnl {

struct ReproductionOptions {
    DType dtype = DType::f32;         // of the weights and activations
    int64_t chunk = 100;              // tokens of one prefill call
    const Kernels* kernels = nullptr; // null: the device's own
    // Where there is padding: whether train_loss counts masked targets. Recordings differ in it;
    // absent: the one that is nearer is meant.
    std::optional<bool> loss_counts_padding;
};

struct Reproduction {
    // In the order of the files: logits, states, loss, gradients.
    std::vector<Deviation> tensors;
    // Greedy tokens that came out otherwise. Every step is given the recorded tokens before it, so
    // that one that differs has no consequences.
    struct Token {
        int64_t row = 0, step = 0;
        int32_t computed = 0, recorded = 0;
        double gap = 0; // recorded logit of `recorded` less that of `computed`
    };
    std::vector<Token> other_tokens;
    bool loss_counts_padding = false;
};

// weights: flat, options.dtype, on the device. gradients: null where none are recorded.
Reproduction reproduce(const Model& model, Device& device, Tensor weights,
                       const ReproductionOptions& options, const Recorded& recorded,
                       const RecordedGradients* gradients);

} // namespace tnl
