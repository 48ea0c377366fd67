#include "ops/gemm/gemv_bf16_loops.h"
#include "ops/quant/quant_loops_vnni.h"
#include "ops/simd/table.h"

namespace tnl {
namespace {

constexpr SimdKernels with_bf16_products(SimdKernels kernels) {
    kernels.dot_bf16 = simd_loops::dot_bf16;
    return kernels;
}

} // namespace

const SimdKernels& simd_avx512_bf16() {
    static constexpr SimdKernels kernels =
        with_bf16_products(with_avx512_quant<simd_loops::Vnni>(simd_table<64>("avx512_bf16")));
    return kernels;
}

} // namespace tnl
