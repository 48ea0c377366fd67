#include "ops/quant/quant_loops_avx2.h"
#include "ops/simd/table.h"

namespace tnl {

const SimdKernels& simd_avx2() {
    static constexpr SimdKernels kernels = with_avx2_quant(simd_table<32>("avx2"));
    return kernels;
}

} // namespace tnl
