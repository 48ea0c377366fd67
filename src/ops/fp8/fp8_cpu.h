// Numbers of 8 bits on the CPU: emulated, every code through bf16, which holds it. Contracts:
// ops/kernels.h.
#pragma once

#include "ops/kernels.h"

namespace tnl::oracle {

void fp8_quantize(Stream&, Fp8Matrix y, Tensor transposed, Tensor x);
void fp8_gemm(Stream&, Tensor c, Fp8Matrix a, Fp8Matrix b, float beta, bool fast);

} // namespace tnl::oracle

namespace tnl::fast {

void fp8_gemm(Stream&, Tensor c, Fp8Matrix a, Fp8Matrix b, float beta, bool fast);

} // namespace tnl::fast
