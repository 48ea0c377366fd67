// One layer: h1 = x + delta;  h2 = h1 + mixer(norm(h1));  out = h2 + sglu(norm(h2)).
// The last sum is left to the next norm, which adds it while it reads: the residual stream travels
// as the pair (x, delta).
#pragma once

#include "model/mixer.h"
#include "model/sglu.h"

namespace tnl {

class Block {
  public:
    struct Saved {
        Tensor h1, h1_stats; // [N,C], [N,2]
        Tensor h2, h2_stats;
        Mixer::Saved mixer;
        Sglu::Saved sglu;
    };
    Block(ParamTable& table, const std::string& name, const ModelConfig& config, int64_t layer);
    Saved save(Arena& arena, DType dtype, DType acc, int64_t rows) const;

    // x [N,C] is replaced by h2 and delta [N,C] by the unit's output. With saved, h1 and h2 are
    // kept there; without it, keep_h1 (optional) [N,C] receives h1. first: delta holds nothing yet.
    void forward(Run& run, const Tensor& weights, Tensor& x, Tensor delta, bool first,
                 const Batch& batch, Tensor state_in, Tensor state_out, Saved* saved,
                 Tensor keep_h1) const;
    // Fills saved again from h1 alone (its stats too): what forward kept, without the last product.
    void recompute(Run& run, const Tensor& weights, Tensor h1, const Batch& batch, Tensor state_in,
                   Saved& saved) const;
    // d [N,C]: gradient of the block's output in, of h1 out.
    void backward(Run& run, const Tensor& weights, const Tensor& grads, Tensor d,
                  const Batch& batch, Tensor state_in, const Saved& saved) const;

  private:
    Norm token_norm_;
    Mixer mixer_;
    Norm channel_norm_;
    Sglu sglu_;
    int64_t width_;
};

} // namespace tnl
