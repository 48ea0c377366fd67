// Lightning attention as one writes it first in low precision: the chunked form by products of
// matrices.
#pragma once

#include "tensor/dtype.h"

#include <cstdint>

namespace tnl {

// One head: out_i = sum over j <= i of lambda^(i-j) (a_i . b_j) c_j and the state, in chunks of 64
// tokens. Operands of products are of type T: a, b, c as they are, the scores after mask and decay,
// the weighted rows of b and the state rounded once each. Sums are f32, in order; so is the state
// between chunks. `reverse` and `shift` as in ops/lightning/scan_cuda.h: 0 or 1 both.
template <class T> struct PlainScan {
    const T *a = nullptr, *b = nullptr, *c = nullptr; // [tokens, stride_a / stride_a / stride_c]
    T* out = nullptr;                                 // as c
    const float* state_in = nullptr;                  // [K,N]; transposed: [N,K]
    float* state_out = nullptr;                       // [K,N], optional
    int64_t tokens = 0, K = 0, N = 0, stride_a = 0, stride_c = 0;
    double slope = 0;
    bool transposed = false, reverse = false;
};
template <class T> void run_plain(const PlainScan<T>& scan); // bf16, f16

} // namespace tnl
