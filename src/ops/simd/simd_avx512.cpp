#include "ops/simd/table.h"

namespace tnl {

const SimdKernels& simd_avx512() {
    static constexpr SimdKernels kernels = simd_table<64>("avx512");
    return kernels;
}

} // namespace tnl
