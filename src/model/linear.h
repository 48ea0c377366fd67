// Linear layers and norms: the two building blocks that own parameters.
#pragma once

#include "model/lora.h"
#include "model/params.h"
#include "model/run.h"

#include <string>

namespace tnl {

// Gradients of the parameters from `begin` of the flat buffer on; those before are frozen.
struct Gradients {
    Tensor flat; // acc
    int64_t begin = 0;
};

// Where one parameter lies in a flat buffer (of weights, or of gradients).
struct Weight {
    int64_t offset = -1; // -1: absent
    int64_t rows = 0;    // 0: a vector of `cols`
    int64_t cols = 0;
    QuantFormat format = QuantFormat::none;
    explicit operator bool() const { return offset >= 0; }
    bool quantized() const { return format != QuantFormat::none; }
    Tensor in(const Tensor& flat) const; // of floats
    QuantMatrix quantized_in(const Tensor& flat) const;
    Tensor in(const Gradients& grads) const; // absent where frozen
};
Weight add_weight(ParamTable& table, const std::string& name, std::vector<int64_t> shape,
                  Init init = Init::normal, bool adjacent = false,
                  QuantFormat format = QuantFormat::none);

// y = x b^T, added to y when accumulate.
void quantized_product(Run& run, Tensor y, Tensor x, const QuantMatrix& b, bool accumulate);

// y = x W^T (+ b):  x [N,in]  W [out,in]  b [out]  y [N,out]. Several outputs of one input may be
// fused: their matrices are adjacent in the flat buffer and act as one.
//
// With Products::fp8 all three products have operands of 8 bits, made from those in the run's dtype
// right before: a product of 8 bits sums over both operands' last dimension, so that the backward
// wants W, dy and x transposed. Weights and x are e4m3, dy is e5m2.
//
// With adapters (lora.h) y has s h B^T added, h = x A^T [N,rank], s = alpha / rank, for each fused
// matrix its own: their A are adjacent and act as one. W and b are frozen then, and
//   dh = s dy B    dx = dy W + dh A    dA += dh^T x    dB += s dy^T h
// in the run's dtype. h is made again in the backward.
//
// Where the table keeps layers in 8 or 4 bits there is a forward alone.
class Linear {
  public:
    enum class Width { any, dtype }; // of products: as the run says, or always in its dtype
    Linear() = default;
    // Each part's parameters: "NAME.weight" [out,in] and, with bias, "NAME.bias".
    struct Part {
        std::string name;
        int64_t out;
    };
    Linear(ParamTable& table, const std::vector<Part>& parts, int64_t in, bool bias,
           Width width = Width::any);
    // Equal parts. names: "….l1", "….l2": parameters "….l1.weight" [out/k,in] and so on.
    Linear(ParamTable& table, const std::vector<std::string>& names, int64_t in, int64_t out,
           bool bias, Width width = Width::any);
    // Freezes the layer and adds "….lora_A.weight" and "….lora_B.weight" for each of its matrices
    // that the options name.
    void add_adapters(ParamTable& table, const LoraOptions& options);

    // The gradient of y as both products of the backward read it. With 8 bits it is scratch of the
    // caller's scope.
    struct Gradient {
        Tensor dy;
        Fp8Matrix rows, columns; // [N,out] and [out,N], or absent
        Tensor low;              // dh [N, adapters * rank], or absent
    };
    Gradient gradient(Run& run, const Tensor& weights, Tensor dy) const;
    // Memory for x^T in 8 bits, which forward can make beside x: the backward then needs no x.
    // Absent where the run's products are not of 8 bits, or where W is frozen.
    Fp8Matrix keep(Arena& arena, const Run& run, int64_t rows) const;
    // added to y when accumulate
    void forward(Run& run, const Tensor& weights, Tensor y, Tensor x, bool accumulate = false,
                 const Fp8Matrix& kept = {}) const;
    // Whether few_rows pays for this layer: no bias or adapters, W and products in the run's
    // dtype, few enough rows.
    bool few_rows_pays(const Run& run, int64_t rows) const {
        return plain(run) && run.kernels.few_rows_pays(rows, in(), run.dtype);
    }
    // W where y = x W^T is all there is to it: no bias or adapters, no products of 8 bits of the
    // run; else absent.
    StepMatrix alone(const Run& run, const Tensor& weights) const {
        if (plain(run)) return weight_.in(weights);
        const bool codes = !bias_ && low_.empty() && weight_.quantized();
        return codes ? StepMatrix(weight_.quantized_in(weights)) : StepMatrix();
    }
    // call, of which b is W
    void few_rows(Run& run, const Tensor& weights, FewRows call) const;
    // dx = dy W, added to dx when accumulate
    void backward_input(Run& run, const Tensor& weights, Tensor dx, const Gradient& dy,
                        bool accumulate = false) const;
    // dW += dy^T x; db += sum dy; or, where those are frozen, dA and dB
    void backward_weights(Run& run, const Tensor& weights, const Gradients& grads,
                          const Gradient& dy, Tensor x, const Fp8Matrix& kept = {}) const;
    int64_t in() const { return weight_.cols; }
    int64_t out() const { return weight_.rows; }
    explicit operator bool() const { return static_cast<bool>(weight_); }

  private:
    bool plain(const Run& run) const {
        return !bias_ && low_.empty() && !narrow(run) && !weight_.quantized();
    }
    bool narrow(const Run& run) const {
        return run.products == Products::fp8 && width_ == Width::any;
    }
    // B of one of the fused matrices, whose outputs are y[:, begin, begin + B's rows).
    struct Low {
        Weight b;
        int64_t begin = 0;
    };
    Tensor low_rows(Run& run, const Tensor& weights, const Tensor& x) const; // s h, scratch
    // Columns of h (or of dh) that belong to adapter i.
    Tensor low_part(const Tensor& h, size_t i) const {
        const auto at = static_cast<int64_t>(i);
        return h.slice(1, at * rank_, (at + 1) * rank_);
    }
    Weight weight_, bias_;
    Width width_ = Width::any;
    std::vector<Part> parts_;
    bool frozen_ = false;
    Weight a_; // [adapters * rank, in]
    std::vector<Low> low_;
    int64_t rank_ = 0;
    float scale_ = 0;
};

// The norm of the config over the last dimension (2307.14995 sec. 3, SimpleRMSNorm by default).
class Norm {
  public:
    Norm() = default;
    // name: "….token_norm"; parameters only for rms (weight) and layer (weight, bias).
    Norm(ParamTable& table, const std::string& name, int64_t width, const ModelConfig& config);
    // What the backward needs of a forward.
    struct Kept {
        Tensor rows;  // [N,C]: y where keeps_output(), else x
        Tensor stats; // [N,2] acc
    };
    // Without weights, y and one number a row tell all: y need not be made again.
    bool keeps_output() const { return kind_ == NormKind::srms; }
    // The product of norm(x) [N,C], N few, to be completed; the norm has no weights.
    FewRows few_rows(Tensor x) const;
    // y = norm(x), stats [N,2] acc (optional)
    void forward(Run& run, const Tensor& weights, Tensor y, Tensor stats, Tensor x) const;
    // dx (+)= d norm(x)^T dy
    void backward(Run& run, const Tensor& weights, const Gradients& grads, Tensor dx, Tensor dy,
                  const Kept& kept, bool accumulate) const;
    // dx = d norm(x)^T dy, from x itself
    void backward_of_input(Run& run, const Tensor& weights, const Gradients& grads, Tensor dx,
                           Tensor dy, Tensor x, Tensor stats) const;
    // y = norm(x) * act(g)
    void gated_forward(Run& run, const Tensor& weights, Tensor y, Tensor stats, Tensor x, Tensor g,
                       Activation act) const;
    // dx, dg, and y again in place of dy
    void gated_backward(Run& run, const Tensor& weights, const Gradients& grads, Tensor dx,
                        Tensor dg, Tensor dy, Tensor x, Tensor g, Tensor stats,
                        Activation act) const;

  private:
    NormWeights in(const Tensor& flat) const;
    NormWeights in(const Gradients& grads) const;
    NormKind kind_ = NormKind::srms;
    float eps_ = 1e-6f;
    Weight weight_, bias_;
};

} // namespace tnl
