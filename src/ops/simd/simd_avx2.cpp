#include "ops/simd/table.h"

namespace tnl {

const SimdKernels& simd_avx2() {
    static constexpr SimdKernels kernels = simd_table<32>("avx2");
    return kernels;
}

} // namespace tnl
