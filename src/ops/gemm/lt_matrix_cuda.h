// What every product by cuBLASLt begins with: its handle, its matrices, its preferences.
#pragma once

#include "cuda/stream.h"

#include <cublasLt.h>

namespace tnl::cuda {

// A handle of cuBLAS is one of cuBLASLt.
inline cublasLtHandle_t lt_handle(const CudaStream& stream) {
    return reinterpret_cast<cublasLtHandle_t>(stream.blas);
}

// cuBLAS is column major: a row-major matrix is its transpose there.
inline cublasLtMatrixLayoutOpaque_t lt_layout(cudaDataType_t type, int64_t rows, int64_t cols,
                                              int64_t ld) {
    cublasLtMatrixLayoutOpaque_t out{};
    check_cublas(cublasLtMatrixLayoutInit(&out, type, static_cast<uint64_t>(cols),
                                          static_cast<uint64_t>(rows), ld),
                 "cublasLtMatrixLayoutInit");
    return out;
}

template <class T>
void lt_prefer(cublasLtMatmulPreferenceOpaque_t& preference,
               cublasLtMatmulPreferenceAttributes_t what, T value) {
    check_cublas(cublasLtMatmulPreferenceSetAttribute(&preference, what, &value, sizeof value),
                 "cublasLtMatmulPreferenceSetAttribute");
}

} // namespace tnl::cuda
