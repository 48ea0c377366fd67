// The CUDA entries of the table of kernels. Contracts: ops/kernels.h.
#pragma once

#include "ops/kernels.h"

namespace tnl::cuda {

void gemm(Stream&, Tensor c, Tensor a, Tensor b, bool transpose_a, bool transpose_b, float alpha,
          float beta);
void few_rows(Stream&, const FewRows&);
bool few_rows_pays(int64_t M, int64_t K, DType dtype);
void fp8_quantize(Stream&, Fp8Matrix y, Tensor transposed, Tensor x);
void fp8_gemm(Stream&, Tensor c, Fp8Matrix a, Fp8Matrix b, float beta, bool fast);
void quant_gemm(Stream&, Tensor c, Tensor a, QuantMatrix b, float beta, Tensor workspace);
size_t quant_workspace(int64_t M, int64_t N, int64_t K, DType dtype);
void bias_forward(Stream&, Tensor y, Tensor bias);
void bias_backward(Stream&, Tensor dbias, Tensor dy);

void embed_forward(Stream&, Tensor y, Tensor table, Tensor ids, float scale);
void embed_backward(Stream&, Tensor dtable, Tensor dy, Tensor ids, float scale);

void norm_forward(Stream&, Tensor y, Tensor stats, Tensor x, NormKind kind, NormWeights weights,
                  float eps);
void norm_backward(Stream&, Tensor dx, NormWeights dweights, Tensor dy, Tensor x, Tensor stats,
                   NormKind kind, NormWeights weights, bool of_output, bool accumulate);
void srms_gate_forward(Stream&, Tensor y, Tensor stats, Tensor x, Tensor g, float eps,
                       Activation act);
void srms_gate_backward(Stream&, Tensor dx, Tensor dg, Tensor y, Tensor dy, Tensor x, Tensor g,
                        Tensor stats, Activation act);

void act_forward(Stream&, Tensor y, Tensor x, Activation act);
void act_backward(Stream&, Tensor dx, Tensor dy, Tensor x, Activation act);
void gate_forward(Stream&, Tensor y, Tensor a, Tensor g, Activation act);
void gate_backward(Stream&, Tensor da, Tensor dg, Tensor y, Tensor dy, Tensor a, Tensor g,
                   Activation act);

void lrpe_forward(Stream&, Tensor y, Tensor x, Tensor theta, Tensor positions);
void lrpe_backward(Stream&, Tensor dx, Tensor dtheta, Tensor dy, Tensor x, Tensor theta,
                   Tensor positions);

void lightning_forward(Stream&, const LightningForward&);
void lightning_backward(Stream&, const LightningBackward&);
size_t lightning_workspace(const LightningShape&, bool backward);
size_t lightning_workspace_most(const LightningShape&, bool backward);
std::string lightning_plan(Stream&, const LightningShape&, bool backward);

void rope(Stream&, Tensor y, Tensor x, Tensor positions, double base, bool backward);

void softmax_forward(Stream&, const SoftmaxForward&);
void softmax_backward(Stream&, const SoftmaxBackward&);
size_t softmax_workspace(const SoftmaxShape&, bool backward);
std::string softmax_plan(DType);

// A target at or above V gives a loss of NaN: ids are not read back to be checked.
void cross_entropy(Stream&, Tensor loss, Tensor logits, Tensor targets, bool gradient, float scale);

void decode_step(Stream&, const DecodeStep&);
bool decode_step_pays(Stream&, const StepShape&);
size_t decode_step_workspace(const StepShape&);

void argmax(Stream&, Tensor ids, Tensor x);
void sample(Stream&, Tensor chosen, Tensor logits, Tensor choices, Tensor changes);
bool sample_pays(int64_t V);

void mask_rows(Stream&, Tensor y, Tensor mask);
void adamw(Stream&, Tensor weights, Tensor master, Tensor m, Tensor v, Tensor g, const AdamW&);
void sum_squares(Stream&, Tensor out, Tensor x);
void sum(Stream&, Tensor out, Tensor x);
void add(Stream&, Tensor y, Tensor x);
void cast(Stream&, Tensor y, Tensor x);
void scale(Stream&, Tensor y, float factor);

} // namespace tnl::cuda
