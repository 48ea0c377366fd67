// Tensor-core words of PTX as functions. Fragment layouts: PTX ISA, "Matrix fragments for
// mma.m16n8k16". With g = lane / 4 and t = lane % 4, an accumulator holds rows g and g + 8 of
// columns 2t and 2t + 1.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace tnl {

using Bf16 = __nv_bfloat16;

struct FragmentA { // 16 x 16, row major
    uint32_t r[4];
};
struct FragmentB { // 16 x 8, two of them side by side: columns 0..7 in r[0..1], 8..15 in r[2..3]
    uint32_t r[4];
};
struct FragmentC { // 16 x 8 in f32
    float r[4];
};

__device__ inline uint32_t shared_address(const void* p) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

__device__ inline void ldmatrix(uint32_t (&r)[4], const Bf16* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
__device__ inline void ldmatrix_transposed(uint32_t (&r)[4], const Bf16* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// The four loads below read a 16 x 16 tile of shared memory whose rows are `stride` elements apart,
// `tile` its corner; rows must begin at multiples of 16 bytes. The names say how the product sees
// the tile: A[m,k] stored [m][k], or [k][m] (transposed); B[k,n] stored [k][n], or [n][k].
__device__ inline FragmentA load_a(const Bf16* tile, int stride) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    FragmentA a;
    ldmatrix(a.r, tile + (lane % 16) * stride + lane / 16 * 8);
    return a;
}
__device__ inline FragmentA load_a_from_km(const Bf16* tile, int stride) {
    const int lane = static_cast<int>(threadIdx.x) % 32, matrix = lane / 8;
    FragmentA a;
    ldmatrix_transposed(a.r, tile + (matrix / 2 * 8 + lane % 8) * stride + matrix % 2 * 8);
    return a;
}
__device__ inline FragmentB load_b_from_kn(const Bf16* tile, int stride) {
    const int lane = static_cast<int>(threadIdx.x) % 32, matrix = lane / 8;
    FragmentB b;
    ldmatrix_transposed(b.r, tile + (matrix % 2 * 8 + lane % 8) * stride + matrix / 2 * 8);
    return b;
}
__device__ inline FragmentB load_b_from_nk(const Bf16* tile, int stride) {
    const int lane = static_cast<int>(threadIdx.x) % 32, matrix = lane / 8;
    FragmentB b;
    ldmatrix(b.r, tile + (matrix / 2 * 8 + lane % 8) * stride + matrix % 2 * 8);
    return b;
}

// c += a b for one half (0 or 1) of b's sixteen columns.
__device__ inline void mma(FragmentC& c, const FragmentA& a, const FragmentB& b, int half) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
                 : "+f"(c.r[0]), "+f"(c.r[1]), "+f"(c.r[2]), "+f"(c.r[3])
                 : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[2 * half]),
                   "r"(b.r[2 * half + 1]));
}

// (x & kMask) | kBits by one instruction; of two constants the compiler makes two.
template <uint32_t kMask, uint32_t kBits> __device__ uint32_t and_or(uint32_t x) {
    uint32_t out;
    asm("lop3.b32 %0, %1, %2, %3, 0xea;\n" : "=r"(out) : "r"(x), "n"(kMask), "n"(kBits));
    return out;
}

// 16 or 8 bytes of shared memory. Loads stay in the order of the program: together, before the
// first is waited for.
__device__ inline uint4 load_shared_16(const void* from) {
    uint4 x;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "r"(shared_address(from)));
    return x;
}
__device__ inline uint2 load_shared_8(const void* from) {
    uint2 x;
    asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];\n"
                 : "=r"(x.x), "=r"(x.y)
                 : "r"(shared_address(from)));
    return x;
}

// 16 bytes from global to shared memory, or 16 zero bytes (`from` is then not read).
__device__ inline void copy_async_16(void* to, const void* from, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n"
                 :
                 : "r"(shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(valid ? 16 : 0)
                 : "memory");
}
__device__ inline void copy_async_wait_all() { asm volatile("cp.async.wait_all;\n" ::: "memory"); }

// x as the sum of two bf16, good to 2^-17 relative.
struct Split2 {
    __nv_bfloat162 high, low;
};
__device__ inline Split2 split(float x0, float x1) {
    Split2 s;
    s.high = __floats2bfloat162_rn(x0, x1);
    s.low = __floats2bfloat162_rn(x0 - __low2float(s.high), x1 - __high2float(s.high));
    return s;
}

} // namespace tnl
