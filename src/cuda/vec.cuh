// Element types on the device, and packs of them that move as one access of up to 16 bytes.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace tnl {

// The type sums are kept in, as Accumulator<T> on the host.
template <class T> using AccOf = std::conditional_t<std::is_same_v<T, double>, double, float>;

__device__ inline double to_acc(double x) { return x; }
__device__ inline float to_acc(float x) { return x; }
__device__ inline float to_acc(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ inline float to_acc(__half x) { return __half2float(x); }

// Rounds to nearest even; f64 goes to bf16 by way of f32, as on the host.
template <class T, class A> __device__ T from_acc(A x) {
    if constexpr (std::is_same_v<T, __nv_bfloat16>)
        return __float2bfloat16_rn(static_cast<float>(x));
    else if constexpr (std::is_same_v<T, __half> && std::is_same_v<A, double>)
        return __double2half(x);
    else if constexpr (std::is_same_v<T, __half>)
        return __float2half_rn(x);
    else
        return static_cast<T>(x);
}

// Elements of T in 16 bytes.
template <class T> constexpr int kVec = 16 / static_cast<int>(sizeof(T));

// Bytes to which a pack of V elements of this size must be aligned.
constexpr int pack_alignment(int64_t element_size, int V) {
    return element_size * V < 16 ? static_cast<int>(element_size) * V : 16;
}

template <class T, int V> struct alignas(pack_alignment(sizeof(T), V)) Pack { T x[V]; };

template <int V, class T> __device__ Pack<T, V> load_pack(const T* p) {
    return *reinterpret_cast<const Pack<T, V>*>(p);
}
// One access, said in PTX: left to itself the compiler takes a struct apart and stores pieces.
template <class T, int V> __device__ void store_pack(T* p, const Pack<T, V>& v) {
    if constexpr (sizeof(Pack<T, V>) == 16) {
        uint4 w;
        memcpy(&w, &v, 16);
        asm volatile("st.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(w.x), "r"(w.y), "r"(w.z),
                     "r"(w.w)
                     : "memory");
    } else {
        *reinterpret_cast<Pack<T, V>*>(p) = v;
    }
}
// The same for what the kernel does not read again: the caches drop it first.
template <class T, int V> __device__ void store_pack_once(T* p, const Pack<T, V>& v) {
    if constexpr (sizeof(Pack<T, V>) == 16) {
        uint4 w;
        memcpy(&w, &v, 16);
        __stcs(reinterpret_cast<uint4*>(p), w);
    } else {
        *reinterpret_cast<Pack<T, V>*>(p) = v;
    }
}

} // namespace tnl
