// The device's side of launch_early (cuda/launch.h): a kernel that begins while the one in front of
// it ends (programmatic dependent launch, from compute capability 9.0 on; PTX ISA, griddepcontrol).
//
// Every thread calls wait_for_previous before it touches what the kernel in front writes or reads,
// and let_next_begin after that, not before: then whatever lies two kernels back has ended, and
// what it wrote is there from the first instruction on.
#pragma once

#include "cuda/vec.cuh"

#include <nv/target>

namespace tnl {

__device__ inline void wait_for_previous() {
    NV_IF_TARGET(NV_PROVIDES_SM_90, (asm volatile("griddepcontrol.wait;" ::: "memory");))
}
__device__ inline void let_next_begin() {
    NV_IF_TARGET(NV_PROVIDES_SM_90, (asm volatile("griddepcontrol.launch_dependents;" ::
                                                      : "memory");))
}

// A pack that stays in front of wait_for_previous where it is written there; 16 bytes are said in
// PTX for it, and go past the first-level cache: they are read once.
template <int V, class T> __device__ Pack<T, V> load_early(const T* p) {
    if constexpr (sizeof(Pack<T, V>) == 16) {
        uint4 w;
        asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w)
                     : "l"(p));
        Pack<T, V> out;
        memcpy(&out, &w, 16);
        return out;
    } else {
        return load_pack<V>(p);
    }
}

} // namespace tnl
