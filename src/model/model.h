// TransNormerLLM: embed -> L blocks -> norm -> logits (2307.14995 sec. 3, 2405.17381 fig. 3); or
// LLaMA, whose blocks differ (softmax_mixer.h) and which has no states.
// One forward serves training, evaluation, prefill and decode. Backward is explicit, layer by
// layer. Weights and gradients are flat buffers laid out by params(); layers see views of them.
// Gradients, [trained_size], are of what is trained: all, or the adapters.
#pragma once

#include "model/block.h"
#include "model/params.h"
#include "model/run.h"

#include <optional>
#include <vector>

namespace tnl {

enum class Recompute {
    none, // keep every activation the backward reads
    glu,  // all but the factors of each SGLU, which its first product makes again
    block // keep each block's input; run the block's forward again in the backward
};

class Model {
  public:
    // With a rank, adapters are added after all other parameters, which are frozen then. Throws
    // naming a target that is no linear layer.
    explicit Model(ModelConfig config, LoraOptions lora = {});
    const ModelConfig& config() const { return config_; }
    const LoraOptions& lora() const { return lora_; }
    const ParamTable& params() const { return params_; }

    // What the backward of one micro-step reads. Made by forward from an activations arena.
    struct Saved {
        std::vector<Block::Saved> blocks; // Recompute::none and glu
        std::vector<Tensor> inputs;       // Recompute::block: [N,C] before each block
        Norm::Kept last;                  // of the final norm
        Recompute recompute = Recompute::none;
    };

    // h [N,C] = final norm of the last block's output. weights: flat, run.dtype. With saved, the
    // activations the backward needs are taken from `activations`.
    void forward(Run& run, const Tensor& weights, Tensor h, const Batch& batch,
                 const Passing& states, Saved* saved, Arena* activations) const;

    // forward, logits [1,V] acc and the greedy choice [1] i32 of one token of one sequence as one
    // call, states changed in place; false, and nothing done, where the model or the device has no
    // such call. workspace: of decode_step_workspace(step_shape()), zeros before the first call.
    bool decode_step(Run& run, const Tensor& weights, Tensor logits, Tensor chosen,
                     const Batch& batch, const States& states, Tensor workspace) const;
    StepShape step_shape(DType dtype) const;

    // logits [n,V] (run.dtype, or acc for exact sampling) of rows h [n,C].
    void logits(Run& run, const Tensor& weights, Tensor logits, Tensor h) const;

    // loss [N] acc, nats, of h against batch.targets, without ever holding all the logits: rows in
    // chunks of `chunk`. With grads (flat acc, added to), dh [N,C] receives d(scale * sum loss)/dh
    // and the head's gradient is added.
    void head_loss(Run& run, const Tensor& weights, Tensor loss, Tensor h, const Batch& batch,
                   int64_t chunk, Tensor dh, Tensor grads, float scale) const;

    // Adds d(loss)/d(parameters) to grads, given dh from head_loss. Frees nothing.
    void backward(Run& run, const Tensor& weights, const Tensor& grads, Tensor dh,
                  const Batch& batch, const Passing& states, Saved& saved) const;

    // forward + head_loss + backward: loss [N] of the micro-step, grads += scale * d(sum loss).
    // Activations are taken from `activations` inside a scope of their own.
    void loss_and_gradients(Run& run, const Tensor& weights, Tensor grads, Tensor loss,
                            const Batch& batch, Recompute recompute, int64_t head_chunk,
                            float scale, Arena& activations, const Passing& states = {}) const;

    // loss [N] only.
    void loss(Run& run, const Tensor& weights, Tensor loss, const Batch& batch,
              const Passing& states, int64_t head_chunk, Arena& activations) const;

    // Views [sequences,H,D,E] acc for each layer, taken from `arena`. Throws where the model has no
    // states (want_states).
    States make_states(Arena& arena, DType acc, int64_t sequences) const;

  private:
    ModelConfig config_;
    LoraOptions lora_;
    ParamTable params_;
    Weight embed_, positions_, head_;
    std::vector<Block> blocks_;
    Norm final_norm_;
};

// The decay rates of every layer, [L,H] acc, on `device`: what Run::slopes views.
OwnedTensor upload_slopes(const ModelConfig& config, Device& device, DType acc);

// Bytes of an arena that make_states fills once.
size_t measure_states(const Model& model, DType acc, int64_t sequences);

// Sizes, in bytes, of the arenas that loss_and_gradients or forward needs: measured by a dry run.
// `sequences` is the most that a batch of `rows` tokens may hold; value_mask if batches carry one.
struct ArenaSizes {
    Arena activations, scratch; // measuring arenas: peak() and at_peak()
};
ArenaSizes measure_training(const Model& model, const Kernels& kernels, DType dtype, int64_t rows,
                            int64_t sequences, Recompute recompute, int64_t head_chunk,
                            bool value_mask = false, Products products = Products::dtype);
// Model::loss, with states carried or not.
ArenaSizes measure_loss(const Model& model, const Kernels& kernels, DType dtype, int64_t rows,
                        int64_t sequences, int64_t head_chunk, bool value_mask = false,
                        bool carry_states = true);
// forward + logits of the last row of each of `sequences` sequences, `rows` tokens in all.
ArenaSizes measure_inference(const Model& model, const Kernels& kernels, DType dtype, int64_t rows,
                             int64_t sequences, bool value_mask = false);

} // namespace tnl
