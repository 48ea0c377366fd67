#include "ops/simd/table.h"

namespace tnl {

const SimdKernels& simd_baseline() {
    static constexpr SimdKernels kernels = simd_table<16>("baseline");
    return kernels;
}

} // namespace tnl
