#include "ops/simd/simd.h"

#include "base/cpu.h"

namespace tnl {

const SimdKernels& simd() {
    const CpuFeatures& cpu = cpu_features();
    static const SimdKernels& best = cpu.avx512_bf16 ? simd_avx512_bf16()
                                     : cpu.avx512    ? simd_avx512()
                                     : cpu.avx2      ? simd_avx2()
                                                     : simd_baseline();
    return best;
}

} // namespace tnl
