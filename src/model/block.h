// One layer:  x += mixer(norm(x));  x += sglu(norm(x)). The sums are the products' own: the last
// product of each unit adds to the residual stream. The mixer is TransNormerLLM's or, for
// model_type llama, softmax attention.
#pragma once

#include "model/mixer.h"
#include "model/sglu.h"
#include "model/softmax_mixer.h"

#include <variant>

namespace tnl {

class Block {
  public:
    struct Saved {
        Norm::Kept token, channel;
        std::variant<Mixer::Saved, SoftmaxMixer::Saved> mixer;
        Sglu::Saved sglu;
    };
    Block(ParamTable& table, const std::string& name, const ModelConfig& config, int64_t layer);
    void add_adapters(ParamTable& table, const LoraOptions& options);
    // glu: whether the SGLU's factors are kept, too; without them the backward makes them again.
    Saved save(Arena& arena, const Run& run, int64_t rows, bool glu) const;

    // x [N,C]: the residual stream. saved (optional) keeps what backward needs.
    void forward(Run& run, const Tensor& weights, Tensor x, const Batch& batch,
                 const LayerPassing& states, Saved* saved) const;
    // Fills saved again from the block's input alone: what forward kept, without the last product.
    void recompute(Run& run, const Tensor& weights, Tensor input, const Batch& batch,
                   const LayerPassing& states, Saved& saved) const;
    // d [N,C]: gradient of the block's output in, of its input out.
    void backward(Run& run, const Tensor& weights, const Gradients& grads, Tensor d,
                  const Batch& batch, const LayerPassing& states, const Saved& saved) const;

    // Its part of a step as one call (Model::decode_step); false where that cannot have it.
    bool describe(const Run& run, const Tensor& weights, DecodeStep& step) const;

  private:
    // Whose mixer's and unit's steps for few rows are the whole layer; null where they are not.
    const Mixer* steps(const Run& run, int64_t rows) const;
    // x += mixer(y)
    void mix(Run& run, const Tensor& weights, Tensor x, Tensor y, const Batch& batch,
             const LayerPassing& states, Saved* saved) const;
    // norm(x), into kept's rows or into y, and what the norm's backward needs into kept.
    Tensor normed(Run& run, const Tensor& weights, const Norm& norm, Tensor y, Tensor x,
                  const Norm::Kept* kept) const;
    // norm(x) of the forward, made again in y if it was not kept.
    Tensor again(Run& run, const Tensor& weights, const Norm& norm, Tensor y,
                 const Norm::Kept& kept) const;

    Norm token_norm_;
    std::variant<Mixer, SoftmaxMixer> mixer_;
    Norm channel_norm_;
    Sglu sglu_;
    int64_t width_;
};

} // namespace tnl
