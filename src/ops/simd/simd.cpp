#include "ops/simd/simd.h"

#include "base/cpu.h"

namespace tnl {

const SimdKernels& simd() {
    static const SimdKernels& best = cpu_features().avx512 ? simd_avx512()
                                     : cpu_features().avx2 ? simd_avx2()
                                                           : simd_baseline();
    return best;
}

} // namespace tnl
