// The vectorised loops of lightning attention on the CPU: one scan of one head by one thread,
// compiled once per instruction set and chosen at run time.
//
// As on the GPU (plan.h), forward and backward are one operator: with scan(x, y, z) the causal
// product out_i = sum over j <= i of lambda^(i-j) (x_i . y_j) z_j and ` the walk from the last
// token to the first,
//   o = scan(q, k, v), state S [D,E]        dq = scan(do, v, k), state S^T [E,D]
//   dv = scan`(k, q, do), state dS [D,E]    dk = scan`(v, do, q), state dS^T [E,D]
// K is the width of x and y, N that of z and out. Columns of z, out and the state are independent.
#pragma once

#include "tensor/dtype.h"

namespace tnl {

constexpr int64_t kLightningChunk = 64;

// Powers of lambda = exp(-slope), each rounded once from f64.
struct LightningDecay {
    static constexpr int64_t kMasks = 2 * kLightningChunk + 64;
    float power[kLightningChunk + 2]; // lambda^n
    float mask[kMasks];               // [kLightningChunk + j - i] is lambda^(i-j) for j <= i else 0
    // lambda^m S = keep S + change S, with keep 1 while lambda^m is near 1: then the change, not
    // lambda^m, is what is rounded, and a slope of 1e-8 decays as it should over millions of
    // tokens.
    float keep[kLightningChunk + 1], change[kLightningChunk + 1];
};

// Rows are of unit stride; strides are in elements from one token to the next of the walk (negative
// when it goes backwards).
template <class T> struct LightningScan {
    const T *x, *y, *z;
    T* out; // null: the state alone
    int64_t x_stride, y_stride, z_stride, out_stride;
    int64_t tokens, K, N;
    float x_scale, z_scale;
    // 0: the state is that after the last token; 1: one decay further, as a gradient walks back.
    int64_t ahead;
    const LightningDecay* decay;
    float* state;     // in panels, see LightningLoops
    bool fresh;       // the state is zero, whatever lies there; updated
    bool want_state;  // update the state after the last chunk too
    bool given;       // the second of a pair: nothing is left to update
    float* workspace; // of the loops' size
};

// One token of one head: S = lambda S + k^T v, o = scale q S, for N columns of rows of `stride`.
template <class T> struct LightningStep {
    const T *q, *k, *v;
    T* o;
    int64_t K, N, stride;
    float keep, change, scale; // lambda = keep + change, as in LightningDecay
    const float* state_in;     // null: zero
    float* state_out;          // null: not kept
    float* workspace;          // 2 K + 2 N
};

struct LightningLoops {
    const char* name;
    // The state is kept in panels of so many columns: [ceil(N / panel)][K][panel], columns past N
    // are zero.
    int64_t panel;
    // Floats of a scan's workspace.
    int64_t (*workspace_f32)(int64_t K, int64_t N);
    int64_t (*workspace_bf16)(int64_t K, int64_t N);
    void (*scan_f32)(LightningScan<float>&);
    void (*scan_bf16)(LightningScan<bf16>&);
    // Two scans of the same tokens at once, y and z exchanged, the second's state (scratch) the
    // transpose of the first's: the two of the backward that walk back.
    void (*pair_f32)(LightningScan<float>&, LightningScan<float>& second);
    void (*pair_bf16)(LightningScan<bf16>&, LightningScan<bf16>& second);
    void (*step_f32)(const LightningStep<float>&);
    void (*step_bf16)(const LightningStep<bf16>&);
    // Between panels and [K,N] rows of `stride`, or (transposed) from [N,K] rows.
    void (*load_state)(float* panels, const float* from, int64_t stride, int64_t K, int64_t N);
    void (*load_state_transposed)(float* panels, const float* from, int64_t stride, int64_t K,
                                  int64_t N);
    void (*store_state)(float* to, int64_t stride, const float* panels, int64_t K, int64_t N);
};

// Floats of a state in panels; states and workspaces are 64-byte aligned.
inline int64_t lightning_state_floats(const LightningLoops& loops, int64_t K, int64_t N) {
    return (N + loops.panel - 1) / loops.panel * loops.panel * K;
}

const LightningLoops& lightning_baseline();
const LightningLoops& lightning_avx2();
const LightningLoops& lightning_avx512();
const LightningLoops& lightning_avx512_bf16(); // products of bf16 tensors in bf16
const LightningLoops& lightning_loops();       // the best this processor runs

} // namespace tnl
