// Softmax attention, causal, of one head group or many (1706.03762 sec. 3.2; grouped queries:
// 2305.13245): what TransNormerLLM is compared with. Work grows with the square of T.
//
//   P_ij = exp(scale q_i k_j - L_i), j <= i, L_i = ln sum_j exp(scale q_i k_j)     o_i = P_ij v_j
// Backward, d_i = do_i o_i:
//   dS_ij = P_ij (do_i v_j - d_i)
//   dq_i = scale dS_ij k_j    dk_j = scale dS_ij q_i    dv_j = P_ij do_i
// Queries of head h read keys and values of head h / (H / K).
#pragma once

#include "tensor/device.h"

namespace tnl {

// Sequences as in ops/lightning/lightning.h: the B rows of a batch, or packed along T of a single
// row with cu_seqlens in host memory. Tokens see none of another sequence.
struct SoftmaxShape {
    int64_t B = 0, T = 0, H = 0, K = 0, D = 0; // K: heads of k and v, a divisor of H
    int64_t sequences = 0;
    DType dtype = DType::f32;
    friend bool operator==(const SoftmaxShape&, const SoftmaxShape&) = default;
};

struct SoftmaxForward {
    Tensor o;          // [B,T,H,D] float, out
    Tensor lse;        // [B,T,H] acc, contiguous, out: L, which the backward reads
    Tensor q;          // [B,T,H,D] float; any strides with a unit last one
    Tensor k, v;       // [B,T,K,D]
    Tensor cu_seqlens; // i32, optional, host memory
    float scale = 1;   // above 0
    Tensor workspace;  // u8, softmax_workspace() bytes, device memory
};

struct SoftmaxBackward {
    Tensor dq, dk, dv;                  // outputs, shaped as q, k, v (written, not added to)
    Tensor q, k, v, o, lse, cu_seqlens; // as in forward, which wrote o and lse
    Tensor dout;                        // [B,T,H,D]
    float scale = 1;
    Tensor workspace;
};

// Checks every shape, stride and dtype of a call; throws naming the argument. Returns the shape.
SoftmaxShape check(const SoftmaxForward& call);
SoftmaxShape check(const SoftmaxBackward& call);

// Row of the batch, first token and number of tokens of sequence i.
struct SoftmaxSequence {
    int64_t row = 0, begin = 0, length = 0;
};
SoftmaxSequence sequence_of(const SoftmaxShape& shape, const Tensor& cu_seqlens, int64_t i);

// Packed sequences that are all of one length are rows of a batch: the common length, else 0.
int64_t equal_length(const SoftmaxShape& shape, const Tensor& cu_seqlens);

namespace oracle {
// Plain loops over every pair of tokens, in every dtype.
void softmax_forward(Stream&, const SoftmaxForward& call);
void softmax_backward(Stream&, const SoftmaxBackward& call);
} // namespace oracle
namespace fast {
// Blocks of queries against blocks of keys, products by the BLAS in f32, for f32 and bf16; f64 goes
// to the oracle. Results do not depend on the number of threads.
void softmax_forward(Stream&, const SoftmaxForward& call);
void softmax_backward(Stream&, const SoftmaxBackward& call);
} // namespace fast

} // namespace tnl
