// What the measurements of `transnormer bench lightning` share.
#pragma once

#include "cli/bench_common.h"

namespace tnl {

struct LightningOptions {
    BenchOptions common;
    std::string dtype; // empty: as suits the device
    int64_t batch = 1, heads = 4, dim = 0, repeats = 5, tokens = int64_t{1} << 22;
    std::vector<int64_t> lengths;
    std::vector<std::string> shapes;
    bool decode = false, flat = false, accuracy = false, peers = false;
    std::string csv, plot, out = ".";

    int64_t width() const { return dim ? dim : 128; }
    DType type(const Device& device) const;
};

struct AttentionShape {
    int64_t B = 1, T = 1, H = 1, D = 128, E = 128;
    bool decode = false; // T = 1, states in place
};

// Operations that the chunked form (ops/lightning/lightning.h) needs for one token of one head, in
// blocks of m tokens, products of triangular matrices counted by half:
//   forward   QK^T, PV: (m+1)(D+E)    QS and the state's update: 4DE
//   backward  QK^T, dO V^T, GK, G^TQ, P^TdO: (m+1)(3D+2E)
//             dO S^T, V D^T, K D and the updates of S and D: 10DE
constexpr int64_t kLightningBlock = 64;
double forward_flops(double D, double E);
double backward_flops(double D, double E);

// ALiBi's, as in the first layer of a released model.
std::vector<float> alibi_slopes(int64_t heads);

// The tensors of one shape, with numbers drawn from [-1, 1) where they are read.
class Attention {
  public:
    Attention(Device& device, const AttentionShape& shape, DType dtype);
    void forward() { kernels_.lightning_forward(device_.stream(), forward_); }
    void backward() { kernels_.lightning_backward(device_.stream(), backward_); }

    // Of q, k, v, o; q, k, v, do, dq, dk, dv; the states in and out: each moved once.
    double bytes(bool backward) const;
    double flops(bool backward) const;
    int64_t state_bytes() const { return state_.data ? state_.bytes() : 0; }
    size_t workspace_bytes(bool backward) const {
        return kernels_.lightning_workspace(lightning_, backward);
    }
    std::string plan(bool backward) {
        return kernels_.lightning_plan(device_.stream(), lightning_, backward);
    }
    // Of all tensors of such a shape.
    static double needed_bytes(const AttentionShape& shape, DType dtype);

  private:
    Device& device_;
    const Kernels& kernels_;
    AttentionShape shape_;
    LightningShape lightning_;
    OwnedTensor q_, k_, v_, dout_, o_, dq_, dk_, dv_, slopes_, workspace_, state_;
    LightningForward forward_;
    LightningBackward backward_;
};

BenchReport bench_lightning_shapes(Device& device, const LightningOptions& o);
BenchReport bench_lightning_flat(Device& device, const LightningOptions& o);
BenchReport bench_lightning_accuracy(Device& device, const LightningOptions& o);

} // namespace tnl
