// The page of everything a device must know: one table of functions per backend.
//
// Alphabet: B sequences, T tokens of one sequence, N = B*T rows, C model width, H heads, D key
// width and E value width of a head, F feed-forward width, V vocabulary, S recurrent state [H,D,E].
// Floating tensors ("float" below) are f64, f32 or bf16, all of one dtype in a call unless said
// otherwise; sums run in f32 (f64 for f64) in an order fixed by shape and device (on the CPU also
// by thread count), so results repeat bit for bit. "acc" is f64 when the call is f64, else f32.
// Row tensors may have a row stride (views into a fused projection); the last dimension has
// stride 1. An empty Tensor (null data) means "absent" where marked optional. Argument order:
// stream, outputs, inputs, scalars. All throw tnl::Error on a shape or dtype that does not fit.
#pragma once

#include "ops/fp8/fp8.h"
#include "ops/lightning/lightning.h"
#include "ops/softmax/softmax.h"
#include "tensor/device.h"

namespace tnl {

enum class Activation {
    identity,
    silu,
    relu,
    leaky_relu,
    gelu,
    elu,
    one_plus_elu,
    two_plus_elu,
    sigmoid,
    exp,
    sine
};
Activation activation_from_name(std::string_view name); // the names of the released utils; throws
std::string_view name_of(Activation activation);

enum class NormKind { srms, rms, layer }; // srms: no weight; rms: weight; layer: weight and bias

struct NormWeights {
    Tensor weight; // [C], for rms and layer
    Tensor bias;   // [C], for layer
};

struct AdamW {
    float lr = 0, beta1 = 0.9f, beta2 = 0.95f, eps = 1e-8f, weight_decay = 0;
    float gradient_scale = 1; // g is multiplied by this first (mean over micro-steps, clipping)
    int64_t step = 1;         // 1-based, for the bias correction
    int64_t first = 0;        // of stochastic rounding: the range's place among all weights
};

struct Kernels {
    const char* name;

    // ---- dense ----
    // c[M,N] = alpha * op(a) op(b) + beta * c, op = transpose if flagged. a, b: float; c: the same
    // dtype, or acc (gradients of bf16 weights are summed in f32). beta is 0 or 1; c is not read
    // when beta is 0.
    void (*gemm)(Stream&, Tensor c, Tensor a, Tensor b, bool transpose_a, bool transpose_b,
                 float alpha, float beta);
    // y[N,C] += bias[C]
    void (*bias_forward)(Stream&, Tensor y, Tensor bias);
    // dbias[C] (acc) += column sums of dy[N,C]
    void (*bias_backward)(Stream&, Tensor dbias, Tensor dy);

    // ---- products of 8 bits: ops/fp8/fp8.h ----
    // y[M,N] = x[M,N], bf16, in y.format; transposed [N,M] u8: the same numbers the other way
    // round, with y.scale. One of y.codes and transposed may be absent. Both are contiguous.
    void (*fp8_quantize)(Stream&, Fp8Matrix y, Tensor transposed, Tensor x);
    // c[M,N] = a[M,K] b[N,K]^T + beta c. c: bf16 or f32; N and K: multiples of 16; a, b: contiguous
    // and not both e5m2; beta as above. fast: a GPU may keep fewer digits of sums than f32 has.
    void (*fp8_gemm)(Stream&, Tensor c, Fp8Matrix a, Fp8Matrix b, float beta, bool fast);

    // ---- embedding ----
    // y[N,C] = scale * table[ids[N]]; ids i32, each in [0, V) (the caller checks)
    void (*embed_forward)(Stream&, Tensor y, Tensor table, Tensor ids, float scale);
    // dtable[V,C] (acc) += scale * dy[N,C] by row; repeated ids are summed in row order
    void (*embed_backward)(Stream&, Tensor dtable, Tensor dy, Tensor ids, float scale);

    // ---- norms over the last dimension ----
    // y = norm(x); y may alias x. stats [N,2] acc: (mean, rstd), mean 0 for srms and rms; optional
    // in inference. srms: y = x / sqrt(mean(x^2) + eps) (2307.14995 sec. 3; released norm.py)
    void (*norm_forward)(Stream&, Tensor y, Tensor stats, Tensor x, NormKind kind,
                         NormWeights weights, float eps);
    // dx = d norm(x)^T dy, added to dx when accumulate; dx may alias dy. dweights (acc, optional)
    // are added to. x: what was normalised or, of_output, what came out: srms alone can do with it.
    void (*norm_backward)(Stream&, Tensor dx, NormWeights dweights, Tensor dy, Tensor x,
                          Tensor stats, NormKind kind, NormWeights weights, bool of_output,
                          bool accumulate);
    // y = srms(x) * act(g) in one pass, the end of a token mixer; y may alias x. stats as above.
    void (*srms_gate_forward)(Stream&, Tensor y, Tensor stats, Tensor x, Tensor g, float eps,
                              Activation act);
    // dx and dg, and y (optional) once more; y or dx may alias dy
    void (*srms_gate_backward)(Stream&, Tensor dx, Tensor dg, Tensor y, Tensor dy, Tensor x,
                               Tensor g, Tensor stats, Activation act);

    // ---- activations and gates ----
    // y = act(x), any equal shapes of rank 2 or 3; y may alias x. exp subtracts the maximum over
    // the last dimension (the released utils), through which no gradient flows.
    void (*act_forward)(Stream&, Tensor y, Tensor x, Activation act);
    // dx = act'(x) dy; dx may alias dy
    void (*act_backward)(Stream&, Tensor dx, Tensor dy, Tensor x, Activation act);
    // y[N,C] = a * act(g)
    void (*gate_forward)(Stream&, Tensor y, Tensor a, Tensor g, Activation act);
    // da = dy * act(g), dg = dy * a * act'(g); da may alias dy or a, dg may alias g. y (optional)
    // = a * act(g) once more: it may alias dy, and with it da and dg alias none of the inputs.
    void (*gate_backward)(Stream&, Tensor da, Tensor dg, Tensor y, Tensor dy, Tensor a, Tensor g,
                          Activation act);

    // ---- LRPE-d (2405.17381 eq. 9): y = [x cos(theta p), x sin(theta p)] ----
    // y [N,H,2D], x [N,H,D], theta [H,D] (float, any of f64, f32, bf16), positions [N] i32.
    // Angles: see ops/position/lrpe.h.
    void (*lrpe_forward)(Stream&, Tensor y, Tensor x, Tensor theta, Tensor positions);
    // dx [N,H,D]; dtheta [H,D] acc, added to (optional)
    void (*lrpe_backward)(Stream&, Tensor dx, Tensor dtheta, Tensor dy, Tensor x, Tensor theta,
                          Tensor positions);

    // ---- lightning attention: ops/lightning/lightning.h ----
    void (*lightning_forward)(Stream&, const LightningForward&);
    void (*lightning_backward)(Stream&, const LightningBackward&);
    // Bytes of LightningForward::workspace and LightningBackward::workspace (0 if none is needed).
    size_t (*lightning_workspace)(const LightningShape&, bool backward);
    // How a call on contiguous tensors would run, in words.
    std::string (*lightning_plan)(Stream&, const LightningShape&, bool backward);

    // ---- rotary positions (2104.09864, the halves of a head as pairs): ops/position/rope.h ----
    // y [N,H,D] = x turned by the angles of positions [N] i32, base^(-2i/D) p; backward: turned
    // back, which is what gradients need. y may alias x. D is even.
    void (*rope)(Stream&, Tensor y, Tensor x, Tensor positions, double base, bool backward);

    // ---- softmax attention: ops/softmax/softmax.h ----
    void (*softmax_forward)(Stream&, const SoftmaxForward&);
    void (*softmax_backward)(Stream&, const SoftmaxBackward&);
    // Bytes of SoftmaxForward::workspace and SoftmaxBackward::workspace for every call of the
    // shape, packed or not (0 if none is needed).
    size_t (*softmax_workspace)(const SoftmaxShape&, bool backward);
    // How calls of a dtype run, in words.
    std::string (*softmax_plan)(DType);

    // ---- loss ----
    // loss[N] acc: cross-entropy of logits[N,V] against targets[N] i32, in nats; 0 where the target
    // is negative (ignored). With `gradient`, logits become scale * (softmax - onehot), rows of
    // ignored targets zero.
    void (*cross_entropy)(Stream&, Tensor loss, Tensor logits, Tensor targets, bool gradient,
                          float scale);

    // ---- rows and flat ranges ----
    // Rows of y [N,C] (or [N,H,D]) whose mask[N] (i32) is 0 become 0.
    void (*mask_rows)(Stream&, Tensor y, Tensor mask);
    // AdamW with decoupled weight decay on one range: master, m, v [n] acc; g [n] acc;
    // weights [n]: the working copy in the compute dtype, may be master itself. Without a master
    // (null data) bf16 weights are the only ones, and the update is rounded to one of the two
    // nearest bf16 at random, so that its mean is right (stochastic rounding, adam/adam.h).
    void (*adamw)(Stream&, Tensor weights, Tensor master, Tensor m, Tensor v, Tensor g,
                  const AdamW&);
    // out[1] f64 = sum of x^2 in f64 (x any float)
    void (*sum_squares)(Stream&, Tensor out, Tensor x);
    // out[1] f64 = sum of x in f64 (x any float)
    void (*sum)(Stream&, Tensor out, Tensor x);
    void (*add)(Stream&, Tensor y, Tensor x);       // y += x, same dtype, rank 1 or 2
    void (*cast)(Stream&, Tensor y, Tensor x);      // y = x, any float dtypes; strided rows
    void (*scale)(Stream&, Tensor y, float factor); // y *= factor
};

const Kernels& cpu_oracle_kernels(); // plain loops, every dtype; what the rest is tested against
const Kernels& cpu_kernels();        // vectorised where it pays, else the oracle's entry
const Kernels* cuda_kernels();       // null where CUDA is absent (no_cuda.cpp)
const Kernels& kernels_for(const Device& device);

} // namespace tnl
