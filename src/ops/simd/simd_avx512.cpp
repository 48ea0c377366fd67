#include "ops/quant/quant_loops_avx2.h"
#include "ops/simd/table.h"

namespace tnl {

const SimdKernels& simd_avx512() {
    static constexpr SimdKernels kernels = with_avx2_quant(simd_table<64>("avx512"));
    return kernels;
}

} // namespace tnl
