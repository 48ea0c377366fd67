// Matrix products on the CPU. Contract: ops/kernels.h.
//
// f32 and f64 go to OpenBLAS, bf16 to oneDNN where the processor multiplies bf16, else through
// f32 panels to OpenBLAS; a few rows against transposed weights (decoding) to gemv.h. The libraries
// run single-threaded inside this project's threads, each on its own block of c.
#pragma once

#include "ops/kernels.h"

namespace tnl {

namespace oracle {
void gemm(Stream&, Tensor c, Tensor a, Tensor b, bool transpose_a, bool transpose_b, float alpha,
          float beta);
} // namespace oracle
namespace fast {
void gemm(Stream&, Tensor c, Tensor a, Tensor b, bool transpose_a, bool transpose_b, float alpha,
          float beta);
} // namespace fast

// c[M,N] = alpha op(a)[M,K] op(b)[K,N] + beta c, with the leading dimensions as stored.
struct GemmShape {
    int64_t M = 0, N = 0, K = 0;
    int64_t lda = 0, ldb = 0, ldc = 0; // elements between rows
};
// Throws naming the tensor that does not fit.
GemmShape check_gemm(const Tensor& c, const Tensor& a, const Tensor& b, bool transpose_a,
                     bool transpose_b, float beta);

// c cut into a grid of rows x columns blocks, one for each thread at work.
struct GemmGrid {
    int rows = 1, columns = 1;
};
GemmGrid plan_gemm_grid(int64_t M, int64_t N, int64_t K, int threads);

// One thread's block: pointers to its first elements, in the whole matrices' leading dimensions.
template <class T, class C> struct GemmBlock {
    int64_t M = 0, N = 0, K = 0;
    const T* a = nullptr;
    const T* b = nullptr;
    C* c = nullptr;
    int64_t lda = 0, ldb = 0, ldc = 0;
    bool transpose_a = false, transpose_b = false;
    float alpha = 1, beta = 0;
};

void blas_gemm(const GemmBlock<float, float>& block);
void blas_gemm(const GemmBlock<double, double>& block);
void blas_gemm(const GemmBlock<bf16, float>& block); // through f32 panels
void blas_gemm(const GemmBlock<bf16, bf16>& block);
void dnnl_gemm(const GemmBlock<bf16, float>& block); // alpha 1; needs avx512_bf16 to be fast
void dnnl_gemm(const GemmBlock<bf16, bf16>& block);

} // namespace tnl
