// Words that the blocks of a running kernel write and read in each other's sight (PTX ISA, ld and
// st with .relaxed.gpu): each whole, past the first-level cache, in no order among themselves. Of a
// vector, each word is whole.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace tnl {

__device__ inline uint4 read_words(const uint32_t* from) {
    uint4 w;
    asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w)
                 : "l"(from)
                 : "memory");
    return w;
}
__device__ inline uint32_t read_word(const uint32_t* from) {
    uint32_t w;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(w) : "l"(from) : "memory");
    return w;
}
__device__ inline uint64_t read_word(const uint64_t* from) {
    uint64_t w;
    asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(w) : "l"(from) : "memory");
    return w;
}
__device__ inline void write_word(uint32_t* to, uint32_t word) {
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(to), "r"(word) : "memory");
}
__device__ inline void write_word(uint64_t* to, uint64_t word) {
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(to), "l"(word) : "memory");
}
__device__ inline void write_words(uint32_t* to, uint32_t first, uint32_t second) {
    asm volatile("st.relaxed.gpu.global.v2.u32 [%0], {%1, %2};" ::"l"(to), "r"(first), "r"(second)
                 : "memory");
}

} // namespace tnl
