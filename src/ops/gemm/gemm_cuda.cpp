#include "ops/entries_cuda.h"
#include "ops/gemm/gemm.h"
#include "tensor/device_cuda.h"

#include <algorithm>
#include <limits>

namespace tnl::cuda {
namespace {

cudaDataType_t cuda_type(DType dtype) {
    switch (dtype) {
    case DType::f64:
        return CUDA_R_64F;
    case DType::f32:
        return CUDA_R_32F;
    case DType::bf16:
        return CUDA_R_16BF;
    default:
        fail("gemm: dtype {} is not supported here, wanted f64, f32 or bf16", name_of(dtype));
    }
}

int as_int(int64_t value, const char* what) {
    TNL_CHECK(value <= std::numeric_limits<int>::max(), "gemm: {} of {} is beyond cuBLAS", what,
              value);
    return static_cast<int>(value);
}

// A leading dimension must span a row even where there is but one row, whose stride is arbitrary.
int leading(const Tensor& x) {
    const int64_t stride = x.shape[0] > 1 ? x.stride[0] : x.shape[1];
    TNL_CHECK(stride >= x.shape[1], "gemm: rows of {} elements overlap at a stride of {}",
              x.shape[1], stride);
    return as_int(std::max<int64_t>(stride, 1), "stride");
}

} // namespace

void gemm(Stream& s, Tensor c, Tensor a, Tensor b, bool transpose_a, bool transpose_b, float alpha,
          float beta) {
    const GemmShape shape = check_gemm(c, a, b, transpose_a, transpose_b, beta);
    CudaStream& stream = cuda_of(s);
    if (shape.M == 0 || shape.N == 0) return;
    if (shape.K == 0) {
        const auto width = static_cast<size_t>(size_of(c.dtype));
        if (beta == 0)
            check_cuda(cudaMemset2DAsync(c.data, static_cast<size_t>(leading(c)) * width, 0,
                                         static_cast<size_t>(shape.N) * width,
                                         static_cast<size_t>(shape.M), stream.stream),
                       "cudaMemset2DAsync");
        return;
    }
    // cuBLAS is column major: c^T = op(b)^T op(a)^T, and a row-major matrix is its transpose there.
    const double alpha64 = alpha, beta64 = beta;
    const bool wide = a.dtype == DType::f64;
    const void* alpha_ptr = wide ? static_cast<const void*>(&alpha64) : &alpha;
    const void* beta_ptr = wide ? static_cast<const void*>(&beta64) : &beta;
    check_cublas(cublasGemmEx(stream.blas, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                              transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, as_int(shape.N, "N"),
                              as_int(shape.M, "M"), as_int(shape.K, "K"), alpha_ptr, b.data,
                              cuda_type(b.dtype), leading(b), a.data, cuda_type(a.dtype),
                              leading(a), beta_ptr, c.data, cuda_type(c.dtype), leading(c),
                              wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                 "cublasGemmEx");
}

} // namespace tnl::cuda
