// Dense products of a few rows, for ops/gemm/gemm_cuda.cpp.
#pragma once

#include "cuda/stream.h"
#include "tensor/tensor.h"

namespace tnl::cuda {

// c[M,N] = a[M,K] b[N,K]^T + beta c, M and K above 0; false, and nothing done, where cuBLAS serves
// better: many rows, f64, rows that are not whole packs of 16 bytes.
bool few_rows_product(const CudaStream& stream, Tensor c, Tensor a, Tensor b, float beta);

} // namespace tnl::cuda
