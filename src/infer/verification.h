// Whether a model computes what was recorded of it, within the tolerance of the dtype.
//   f32, f64  largest |difference| / largest |recorded| of each tensor at most 1e-5, for gradients
//             1e-4; greedy tokens the same, but where recorded logits tie exactly
//   bf16      the same measure at most twice that of plain bf16: the oracle's loops on the CPU,
//             weights and activations rounded to bf16 after every operation, sums in f32. One step
//             of bf16 (2^-8) is always allowed: where plain bf16 happens to hit a value, twice its
//             error means nothing. The largest of a few errors is a matter of luck on both sides:
//             where a tensor is beyond, plain bf16 is drawn again with weights on the edge between
//             two values rounded the other way, and its largest error of up to sixteen draws
//             counts. As both would agree on a wrong model, f32 must hold too. A greedy token may
//             differ: then, as the logits are within tolerance, the recorded ones were nearer to
//             each other than bf16 resolves.
// Gradients of a tensor that are all smaller than 1e-4 of the largest gradient of any tensor are
// measured against that: sums of f32 hold no more.
#pragma once

#include "infer/reproduction.h"

#include <filesystem>
#include <optional>

namespace tnl {

struct Verdict {
    Deviation deviation;
    double error = 0, allowed = 0;
    std::optional<double> plain{};              // bf16: the error of plain bf16
    std::optional<double> f32{}, f32_allowed{}; // bf16: the error of f32
    bool ok() const { return error <= allowed && (!f32 || *f32 <= *f32_allowed); }
};

struct Verification {
    std::vector<Verdict> tensors;
    std::vector<Reproduction::Token> other_tokens;
    std::optional<size_t> plain_other_tokens; // how many plain bf16 has
    int draws = 0;                            // of plain bf16
    bool loss_counts_padding = false;
    bool tokens_ok = true;
    bool ok() const;
};

// model: a directory's, its weights read from there; device: what computes.
Verification verify(const std::filesystem::path& directory, const Model& model, Device& device,
                    const ReproductionOptions& options, const Recorded& recorded,
                    const RecordedGradients* gradients);

} // namespace tnl
