// Products with quantized weights on the CPU. Contract: ops/kernels.h.
#pragma once

#include "ops/kernels.h"

namespace tnl {
namespace oracle {
void quant_gemm(Stream&, Tensor c, Tensor a, QuantMatrix b, float beta, Tensor workspace);
} // namespace oracle
namespace fast {
void quant_gemm(Stream&, Tensor c, Tensor a, QuantMatrix b, float beta, Tensor workspace);
} // namespace fast
} // namespace tnl
