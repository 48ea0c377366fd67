// Lightning Attention (2405.17381, 2401.04658): causal linear attention with a fixed decay per
// head, in time linear in T and memory independent of T.
//
//   S_t = lambda S_{t-1} + k_t^T v_t        o_t = scale * q_t S_t        lambda = exp(-slope_h)
//
// The state convention, used everywhere in this project: S is the state AFTER the last token, that
// token at weight 1. (Some Triton kernels carry lambda*S instead: one step further.)
// Chunked form for a block of m tokens, r = 1..m, M_ij = lambda^(i-j) for i >= j else 0:
//   O = [(Q K^T) . M] V + diag(lambda^r) Q S      S' = lambda^m S + (diag(lambda^(m-r)) K)^T V
// Only powers lambda^n with n >= 0 are formed, so no slope >= 0 overflows.
// Backward, D the gradient of the state after the block, P = (Q K^T) . M, G = (dO V^T) . M:
//   dQ = G K + diag(lambda^r) dO S^T          dK = G^T Q + diag(lambda^(m-r)) V D^T
//   dV = P^T dO + diag(lambda^(m-r)) K D      D' = lambda^m D + (diag(lambda^r) Q)^T dO
// (2405.17381 Algorithm 6, extended to states in and out and to short last blocks; with `scale`, Q
// stands for scale*Q and dQ is multiplied by scale.)
#pragma once

#include "tensor/tensor.h"

namespace tnl {

// Sequences are either the B rows of a batch (cu_seqlens empty, every length T), or packed along T
// of a single row (B = 1) with cu_seqlens [n+1] i32 in host memory, cu_seqlens[0] = 0, not
// decreasing, cu_seqlens[n] = T; empty sequences are allowed. `sequences` below is B or n.
struct LightningShape {
    int64_t B = 0, T = 0, H = 0, D = 0, E = 0;
    int64_t sequences = 0;
    DType dtype = DType::f32;
    friend bool operator==(const LightningShape&, const LightningShape&) = default;
};

struct LightningForward {
    Tensor o;          // [B,T,H,E] float (on a GPU f16 too, with acc f32), out
    Tensor state_out;  // [sequences,H,D,E] acc, optional out; may be state_in itself
    Tensor q, k;       // [B,T,H,D] float; any strides with a unit last one
    Tensor v;          // [B,T,H,E]
    Tensor slopes;     // [H] f32 (f64 for f64): s_h >= 0, lambda = exp(-s)
    Tensor state_in;   // [sequences,H,D,E] acc, optional (zero)
    Tensor cu_seqlens; // i32, optional, host memory
    float scale = 1;
    Tensor workspace; // u8, lightning_workspace() bytes, device memory
    // cu_seqlens lies in device memory: nothing waits for the host, and its values are the caller's
    // word. (On the CPU there is no difference.)
    bool offsets_on_device = false;
    // [sequences] i32, optional, device memory: sequence i has state slots[i] of state_in and
    // state_out, which then hold any number of slots, each at most once in `slots`. A negative slot
    // is no state: the sequence starts from zero and leaves nothing.
    Tensor slots{};
    // Neither state_in nor slots is what the call before writes: reading them may begin while that
    // call ends.
    bool state_settled = false;
};

struct LightningBackward {
    Tensor dq, dk, dv; // outputs, shaped as q, k, v (written, not added to)
    Tensor dstate_in;  // [sequences,H,D,E] acc, optional out
    Tensor q, k, v, slopes, state_in, cu_seqlens; // as in forward
    Tensor dout;                                  // [B,T,H,E]
    Tensor dstate_out;                            // [sequences,H,D,E] acc, optional (zero)
    float scale = 1;
    Tensor workspace;
    bool offsets_on_device = false;
    Tensor slots{}; // as in forward, of state_in, dstate_out and dstate_in
};

// Checks every shape, stride and dtype of a call; throws naming the argument. Returns the shape.
LightningShape check(const LightningForward& call);
LightningShape check(const LightningBackward& call);

// Rows [begin, end) of sequence i, as (batch row, first token, tokens).
struct SequenceRange {
    int64_t row = 0, begin = 0, length = 0;
};
SequenceRange sequence_range(const LightningShape& shape, const Tensor& cu_seqlens, int64_t i);

// Which state is sequence i's, with slots in host memory; negative: none.
int64_t state_of_sequence(const Tensor& slots, int64_t i);

} // namespace tnl
