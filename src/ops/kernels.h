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
#include "ops/quant/quant.h"
#include "ops/softmax/softmax.h"
#include "tensor/device.h"

#include <array>
#include <vector>

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

// c = after(before(a) b^T) + beta c: the product of a few rows, as in writing token by token, with
// what stands before and after it in a layer. a [M,K], b [N,K], M at most kFewRows; c [M,N] of a's
// dtype, or acc where nothing comes after. No activation may be exp. Each step is rounded to a's
// dtype as if it were a call of its own.
struct FewRows {
    enum class Before { nothing, srms, srms_gate };
    enum class After { nothing, activation, gate };
    Tensor c, a;
    Tensor b; // loading it may begin while the call before ends: that one does not write it
    Before before = Before::nothing;
    float eps = 0;                              // srms: srms(a)
    Tensor g;                                   // [M,K]; srms_gate: srms(a) * gate_act(g)
    Activation gate_act = Activation::identity; //
    After after = After::nothing;
    Activation act = Activation::identity;
    int64_t acted = 0; // activation: act of columns [0, acted), the others as they are
    // gate: with u = columns [0, N/2) and v the others, act(u) * v; c is [M,N/2] then
    float beta = 0; // 0 or 1; 0 where something comes after
};
constexpr int64_t kFewRows = 8;

// A matrix of weights of a DecodeStep: floats [rows, cols], or codes.
struct StepMatrix {
    Tensor floats;
    QuantMatrix codes;
    StepMatrix() = default;
    StepMatrix(Tensor matrix) : floats(matrix) {}            // NOLINT(*-explicit-*)
    StepMatrix(const QuantMatrix& matrix) : codes(matrix) {} // NOLINT(*-explicit-*)
    bool absent() const { return floats.rank == 0 && !codes; }
    QuantFormat format() const { return codes.format; }
    const Tensor& memory() const { return codes ? codes.bytes : floats; }
    int64_t rows() const { return memory().shape[0]; }
};

// One layer of a DecodeStep. Weights and states are contiguous, states are changed in place. All
// matrices of all layers have one format.
struct StepLayer {
    StepMatrix qkvu; // [4 H E, C]
    Tensor theta;    // [H,E], absent: no LRPE
    StepMatrix out;  // [C, H E]
    StepMatrix uv;   // [2F, C]
    StepMatrix down; // [C, F]
    Tensor state;    // [1,H,D,E] acc, D = 2E with LRPE, else E
};

// One token of one sequence through a whole TransNormerLLM of gates of full rank and norms without
// weights:
//   x = scale embed[id]
//   of each layer:  [q k v u] = act(srms(x) qkvu^T)   o = lightning(lrpe(q), lrpe(k), v)
//                   x += (srms(o) gate_act(u)) out^T  x += (glu_act(y1) y2) down^T,
//                                                     [y1 y2] = srms(x) uv^T
//   logits = srms(x) head^T   chosen = argmax(logits)
// Each line is rounded to the weights' dtype as if it were a call of its own.
struct DecodeStep {
    std::vector<StepLayer> layers;
    Tensor ids, positions; // [1] i32
    Tensor embed;          // [V,C]
    StepMatrix head;       // [V,C]
    float embed_scale = 1; //
    Tensor slopes;         // [L,H] acc
    float eps = 0;         // of every norm
    Activation qk_act = Activation::identity, v_act = Activation::identity;
    Activation gate_act = Activation::identity, glu_act = Activation::identity;
    Tensor logits;    // [1,V] acc
    Tensor chosen;    // [1] i32, as of argmax
    Tensor workspace; // u8, step_workspace bytes: zeros before the first call, then untouched
};
struct StepShape {
    DType dtype = DType::f32;
    int64_t layers = 0, C = 0, heads = 0, width = 0, F = 0, V = 0;      // width: E
    int64_t keys = 0;                                                   // the largest D
    std::array<Activation, 4> acts{};                                   // qk, v, gate, glu
    QuantFormat matrices = QuantFormat::none, head = QuantFormat::none; // of layers; the head
    int64_t hidden() const { return heads * width; }
};

// How the next token of a row of logits is chosen: ops/sample/sample.h.
struct TokenChoice {
    double temperature = 1; // 0: the largest, after changes
    double top_p = 1, min_p = 0;
    double repetition_penalty = 1;
    double uniform = 0; // drawn from [0, 1)
    int64_t top_k = 0;
    int32_t first_change = 0, changes = 0; // of this row, each of another token
    int32_t skip = 0;                      // not 0: nothing is chosen
    int32_t unused = 0;
};
struct TokenChange {
    int32_t token = 0;
    int32_t penalised = 0; // not 0: by the repetition penalty
    float bias = 0;
    float was = 0;    // the kernel's
    double taken = 0; // of what comes of these
};

struct Kernels {
    const char* name;

    // ---- dense ----
    // c[M,N] = alpha * op(a) op(b) + beta * c, op = transpose if flagged. a, b: float; c: the same
    // dtype, or acc (gradients of bf16 weights are summed in f32). beta is 0 or 1; c is not read
    // when beta is 0.
    void (*gemm)(Stream&, Tensor c, Tensor a, Tensor b, bool transpose_a, bool transpose_b,
                 float alpha, float beta);
    void (*few_rows)(Stream&, const FewRows&);
    // Whether few_rows pays on products of so many rows and so long sums; it works wherever.
    bool (*few_rows_pays)(int64_t M, int64_t K, DType dtype);
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

    // ---- weights of 8 or 4 bits: ops/quant/quant.h ----
    // c[M,N] = a[M,K] b[N,K]^T + beta c; c: a's dtype, or f32 for bf16; beta as above. The CPU
    // rounds a to 16 bits (int8) or 8 bits (int4), group by group of b, and sums whole numbers: a
    // row of c is there a function of the same row of a alone, not of M. A GPU rounds b to a's
    // dtype where M is large. workspace: u8, quant_workspace bytes.
    void (*quant_gemm)(Stream&, Tensor c, Tensor a, QuantMatrix b, float beta, Tensor workspace);
    size_t (*quant_workspace)(int64_t M, int64_t N, int64_t K, DType dtype);

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
    // At least that, of any call with as many tokens in these or fewer sequences: a dry run takes
    // it.
    size_t (*lightning_workspace_most)(const LightningShape&, bool backward);
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

    // ---- a whole step: ops/step/step.h ----
    void (*decode_step)(Stream&, const DecodeStep&);
    // Whether it serves; where not, the layers are called one by one.
    bool (*decode_step_pays)(Stream&, const StepShape&);
    size_t (*decode_step_workspace)(const StepShape&);

    // ---- choice ----
    // ids[N] i32: the column of each row's largest number, the lowest on a tie, of x[N,V] (float);
    // -1 where a row holds NaN or +infinity, or nothing above -infinity.
    void (*argmax)(Stream&, Tensor ids, Tensor x);
    // chosen[N] i32: a token of each row of logits[N,V] f32, by lot: choices u8 [N TokenChoice],
    // changes u8 [TokenChange ...]. -1 where argmax has that, or where the choice is to be skipped.
    // Writes to logits and changes and leaves logits as they were.
    void (*sample)(Stream&, Tensor chosen, Tensor logits, Tensor choices, Tensor changes);
    // Whether that is better than fetching rows of V logits to choose by the same rules.
    bool (*sample_pays)(int64_t V);

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
