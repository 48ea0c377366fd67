// Simple gated linear unit (2405.17381 eq. 12):  y = l3(act(l1 x) * l2 x), act = identity as
// released. With SiLU it is LLaMA's SwiGLU (2002.05202).
//   x, y [N,C]   l1, l2 [F,C]   l3 [C,F]
#pragma once

#include "model/linear.h"

#include <array>

namespace tnl {

class Sglu {
  public:
    struct Saved {
        Tensor uv;    // [N,2F]: l1 x and l2 x
        Fp8Matrix x8; // x^T [C,N] and what l3 multiplies, [F,N]: products of 8 bits only
        Fp8Matrix h8; // absent, too, where only the first half ran
    };
    // names: of l1, l2 and l3
    Sglu(ParamTable& table, const std::array<std::string, 3>& names, const ModelConfig& config);
    void add_adapters(ParamTable& table, const LoraOptions& options);
    Saved save(Arena& arena, const Run& run, int64_t rows) const;
    // y += the unit's output
    void forward(Run& run, const Tensor& weights, Tensor y, Tensor x, Saved* saved) const;
    // x += the unit's output for norm(x), in two kernels: few rows, nothing kept for a backward.
    bool steps(const Run& run, int64_t rows) const;
    void step(Run& run, const Tensor& weights, Tensor x, const Norm& norm) const;
    // Its part of a step as one call; false where that cannot have it.
    bool describe(const Run& run, const Tensor& weights, DecodeStep& step, StepLayer& layer) const;
    // The first half of forward: fills saved.
    void project(Run& run, const Tensor& weights, Tensor x, Saved& saved) const;
    void backward(Run& run, const Tensor& weights, const Gradients& grads, Tensor dx, Tensor dy,
                  Tensor x, const Saved& saved) const;

  private:
    int64_t width_;
    Activation act_;
    Linear in_, out_;
};

} // namespace tnl
