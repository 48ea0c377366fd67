// Gated linear attention, the token mixer (2307.14995 sec. 3, 2405.17381 eq. 11 and fig. 3):
//   [q k v u] = x W^T    q, k <- act(q), act(k)    (LRPE on q, k)    o = lightning(q, k, v)
//   y = (norm(o) * gate(u)) Wo^T                   the norm spans all heads
// TransNormerLLM: u is full rank and part of qkvu, gate = identity. TNL3: act on v too, and
// u = x W1^T W2^T of rank gate_dim, gate = sigmoid.
#pragma once

#include "model/linear.h"

namespace tnl {

class Mixer {
  public:
    struct Saved {
        Tensor proj;    // [N,4h] or [N,3h]: q k v (u) before their activations
        Tensor o;       // [N,h] attention output
        Tensor o_stats; // [N,2] acc
        Tensor rank;    // [N,gate_dim]: x W1^T, low-rank gate only
        Tensor gate;    // [N,h]: u, low-rank gate only
        Fp8Matrix x8;   // x^T [C,N] and what Wo multiplies, [h,N]: products of 8 bits only
        Fp8Matrix gated8;
    };
    Mixer(ParamTable& table, const std::string& name, const ModelConfig& config, int64_t layer);
    void add_adapters(ParamTable& table, const LoraOptions& options);
    Saved save(Arena& arena, const Run& run, int64_t rows) const;

    // y [N,C] is added to, x [N,C]; states [sequences,H,Dk,D] acc
    void forward(Run& run, const Tensor& weights, Tensor y, Tensor x, const Batch& batch,
                 const LayerPassing& states, Saved* saved) const;
    // x [N,C] += the mixer's output for norm(x), in a few kernels: few rows, nothing kept for a
    // backward.
    bool steps(const Run& run, int64_t rows) const;
    void step(Run& run, const Tensor& weights, Tensor x, const Norm& norm, const Batch& batch,
              const LayerPassing& states) const;
    // Its part of a step as one call; false where that cannot have it.
    bool describe(const Run& run, const Tensor& weights, DecodeStep& step, StepLayer& layer) const;
    void backward(Run& run, const Tensor& weights, const Gradients& grads, Tensor dx, Tensor dy,
                  Tensor x, const Batch& batch, const LayerPassing& states,
                  const Saved& saved) const;

  private:
    struct Qkv {
        Tensor q, k, v;    // [N,H,D] (q, k: [N,H,2D] with LRPE): what the attention reads
        Tensor qa, ka, va; // [N,H,D] after the activation, before LRPE and mask
    };
    // Activations and LRPE, into scratch where they change anything.
    Qkv activate(Run& run, const Tensor& weights, const Tensor& proj, const Batch& batch) const;
    // q, k and v from qa, ka and va: LRPE and mask.
    void place(Run& run, const Tensor& weights, Qkv& qkv, const Batch& batch) const;
    void attend(Run& run, Tensor o, const Qkv& qkv, const Batch& batch,
                const LayerPassing& states) const;
    Tensor gate(const Saved& saved) const; // u, [N,h]
    // From the gradients of what the attention reads (dq, dk; dv already lies in dproj) to the
    // projection's, dproj [N,3h..].
    void qkv_backward(Run& run, const Tensor& weights, const Gradients& grads, const Tensor& dproj,
                      Tensor dq, Tensor dk, const Qkv& qkv, const Saved& saved,
                      const Batch& batch) const;
    Tensor part(const Tensor& proj, int64_t index) const; // q, k, v or u of proj, [N,h]
    Tensor heads(const Tensor& rows) const;               // [N,h] -> [N,H,D]

    int64_t layer_, heads_, head_dim_, hidden_, key_dim_;
    Activation qk_act_, v_act_, gate_act_;
    bool
        fused_act_; // one activation over all of q, k, v: matters for `exp`, whose maximum spans it
    bool has_gate_, low_rank_;
    Linear proj_, gate_in_, gate_out_, out_;
    Weight theta_; // [H,D], LRPE layers only
    Norm norm_;
};

} // namespace tnl
