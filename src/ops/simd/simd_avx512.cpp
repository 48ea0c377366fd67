#include "ops/quant/quant_loops_avx512.h"
#include "ops/simd/table.h"

namespace tnl {

const SimdKernels& simd_avx512() {
    static constexpr SimdKernels kernels =
        with_avx512_quant<simd_loops::MultiplyAdd>(simd_table<64>("avx512"));
    return kernels;
}

} // namespace tnl
