// Linear layers and norms: the two building blocks that own parameters.
#pragma once

#include "model/params.h"
#include "model/run.h"

#include <string>

namespace tnl {

// Where one parameter lies in a flat buffer (of weights, or of gradients).
struct Weight {
    int64_t offset = -1; // -1: absent
    int64_t rows = 0;    // 0: a vector of `cols`
    int64_t cols = 0;
    explicit operator bool() const { return offset >= 0; }
    Tensor in(const Tensor& flat) const;
};
Weight add_weight(ParamTable& table, const std::string& name, std::vector<int64_t> shape,
                  Init init = Init::normal, bool adjacent = false);

// y = x W^T (+ b):  x [N,in]  W [out,in]  b [out]  y [N,out]. Several outputs of one input may be
// fused: their matrices are adjacent in the flat buffer and act as one.
class Linear {
  public:
    Linear() = default;
    // names: "….l1", "….l2": parameters "….l1.weight" [out/k,in] and, with bias, "….l1.bias".
    Linear(ParamTable& table, const std::vector<std::string>& names, int64_t in, int64_t out,
           bool bias);
    void forward(Run& run, const Tensor& weights, Tensor y, Tensor x) const;
    // dx = dy W (added to dx when accumulate; skipped when dx is empty); dW += dy^T x; db += sum dy
    void backward(Run& run, const Tensor& weights, const Tensor& grads, Tensor dx, Tensor dy,
                  Tensor x, bool accumulate = false) const;
    int64_t in() const { return weight_.cols; }
    int64_t out() const { return weight_.rows; }
    explicit operator bool() const { return static_cast<bool>(weight_); }

  private:
    Weight weight_, bias_;
};

// The norm of the config over the last dimension (2307.14995 sec. 3, SimpleRMSNorm by default).
class Norm {
  public:
    Norm() = default;
    // name: "….token_norm"; parameters only for rms (weight) and layer (weight, bias).
    Norm(ParamTable& table, const std::string& name, int64_t width, const ModelConfig& config);
    // h = x + delta (optional), y = norm(h), stats [N,2] acc (optional)
    void forward(Run& run, const Tensor& weights, Tensor h, Tensor y, Tensor stats, Tensor x,
                 Tensor delta) const;
    // dx (+)= d norm(x)^T dy
    void backward(Run& run, const Tensor& weights, const Tensor& grads, Tensor dx, Tensor dy,
                  Tensor x, Tensor stats, bool accumulate) const;

  private:
    NormWeights in(const Tensor& flat) const;
    NormKind kind_ = NormKind::srms;
    float eps_ = 1e-6f;
    Weight weight_, bias_;
};

} // namespace tnl
