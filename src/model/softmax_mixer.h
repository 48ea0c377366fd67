// Softmax attention, the token mixer of a Transformer (LLaMA, 2302.13971):
//   [q k v] = x W^T    q, k <- turned by their positions (RoPE)    o = softmax attention(q, k, v)
//   y = o Wo^T
#pragma once

#include "model/linear.h"

namespace tnl {

class SoftmaxMixer {
  public:
    struct Saved {
        Tensor qkv;   // [N,(H+2K)D]: q and k after RoPE
        Tensor o;     // [N,h] attention output
        Tensor lse;   // [N,H] acc
        Fp8Matrix x8; // x^T [C,N] and what Wo multiplies, [h,N]: products of 8 bits only
        Fp8Matrix o8;
    };
    SoftmaxMixer(ParamTable& table, const std::string& name, const ModelConfig& config);
    void add_adapters(ParamTable& table, const LoraOptions& options);
    Saved save(Arena& arena, const Run& run, int64_t rows) const;

    // y [N,C] is added to, x [N,C]. There is no state to pass: sequences are whole.
    void forward(Run& run, const Tensor& weights, Tensor y, Tensor x, const Batch& batch,
                 const LayerPassing& states, Saved* saved) const;
    void backward(Run& run, const Tensor& weights, const Gradients& grads, Tensor dx, Tensor dy,
                  Tensor x, const Batch& batch, const LayerPassing& states,
                  const Saved& saved) const;

  private:
    Tensor queries(const Tensor& qkv, const Batch& batch) const; // [B,T,H,D]
    Tensor keys(const Tensor& qkv, const Batch& batch) const;    // [B,T,K,D]
    Tensor values(const Tensor& qkv, const Batch& batch) const;
    Tensor turned(const Tensor& qkv) const; // q and k as [N,H+K,D]
    Tensor workspace(Run& run, const Batch& batch, bool backward) const;

    int64_t heads_, kv_heads_, head_dim_;
    double base_;
    float scale_;
    Linear qkv_, out_;
};

} // namespace tnl
