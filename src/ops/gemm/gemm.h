// Matrix products on the CPU. Contract: ops/kernels.h.
#pragma once

#include "ops/kernels.h"

namespace tnl {

namespace oracle {
void gemm(Stream&, Tensor c, Tensor a, Tensor b, bool transpose_a, bool transpose_b, float alpha,
          float beta);
} // namespace oracle

// c[M,N] = alpha op(a)[M,K] op(b)[K,N] + beta c, with the leading dimensions as stored.
struct GemmShape {
    int64_t M = 0, N = 0, K = 0;
    int64_t lda = 0, ldb = 0, ldc = 0; // elements between rows
};
// Throws naming the tensor that does not fit.
GemmShape check_gemm(const Tensor& c, const Tensor& a, const Tensor& b, bool transpose_a,
                     bool transpose_b, float beta);

} // namespace tnl
