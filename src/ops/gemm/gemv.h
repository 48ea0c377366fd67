// c[M,N] = alpha a[M,K] b[N,K]^T + beta c for few rows M: decoding. Bound by reading b, which is
// read exactly once.
#pragma once

#include "ops/gemm/gemm.h"

namespace tnl {

constexpr int64_t kGemvRows = 8;

inline bool fits_gemv(int64_t M, bool transpose_a, bool transpose_b) {
    return M <= kGemvRows && !transpose_a && transpose_b;
}

// Splits the rows of b over the threads.
template <class T, class C> void gemv(Stream& stream, const GemmBlock<T, C>& g);

} // namespace tnl
