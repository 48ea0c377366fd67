// AdamW (1711.05101) over the flat buffers of all that is trained. Moments are f32, as are the
// master weights; where the run computes in bf16 the working weights are their rounded copy, or,
// with stochastic rounding, the only ones.
#pragma once

#include "model/params.h"
#include "ops/kernels.h"
#include "train/config.h"

#include <vector>

namespace tnl {

// Bytes of moments and master weights.
struct OptimizerBytes {
    size_t moments = 0, master = 0; // master beside the weights: 0 in an f32 run
};
OptimizerBytes optimizer_bytes(const OptimizerConfig& config, const ParamTable& table, DType dtype);

// A contiguous range of the flat buffers whose parameters agree on weight decay.
struct DecayRange {
    int64_t begin = 0, end = 0;
    bool decay = false;
    friend bool operator==(const DecayRange&, const DecayRange&) = default;
};
// Of what is trained, in order, covering [0, trained_size): padding goes with the parameter before
// it (it is zero, and stays so).
std::vector<DecayRange> decay_ranges(const ParamTable& table);

class Optimizer {
  public:
    // weights: of what is trained, [trained_size] f32 or bf16, on the device; must outlive this.
    Optimizer(const OptimizerConfig& config, const ParamTable& table, Device& device,
              Tensor weights);

    // Takes f32 host values as the weights: master, and the working copy rounded to nearest.
    void set_master(const float* host);

    // One update with gradients [trained_size] f32: lr in absolute terms, gradient_scale multiplies
    // g.
    void step(Tensor gradients, double lr, double gradient_scale);

    // What to multiply a gradient of this norm by: clip / norm where the norm is larger, else 1.
    double clip_scale(double norm) const;

    // f32; the weights themselves in an f32 run; absent (null data) with stochastic rounding.
    Tensor master() const { return master_; }
    Tensor m() const { return m_; }
    Tensor v() const { return v_; }
    void use(const Kernels& kernels) { kernels_ = &kernels; } // Learner::use

    int64_t updates() const { return updates_; } // steps taken: the bias correction's t
    void set_updates(int64_t updates) { updates_ = updates; }

  private:
    OptimizerConfig config_;
    Device& device_;
    const Kernels* kernels_;
    std::vector<DecayRange> ranges_;
    Tensor weights_, master_;
    OwnedTensor own_master_, m_, v_;
    int64_t updates_ = 0;
};

} // namespace tnl
