// The sm_90 scan's numbers: pairs of bf16 or f16 and powers of the decay.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace tnl::cuda {

// Pairs of operands in one register.
template <class T> __device__ uint32_t pack(float x, float y);
template <> __device__ inline uint32_t pack<__nv_bfloat16>(float x, float y) {
    const __nv_bfloat162 p = __floats2bfloat162_rn(x, y);
    return reinterpret_cast<const uint32_t&>(p);
}
template <> __device__ inline uint32_t pack<__half>(float x, float y) {
    const __half2 p = __floats2half2_rn(x, y);
    return reinterpret_cast<const uint32_t&>(p);
}
template <class T> __device__ float2 unpack(uint32_t x);
template <> __device__ inline float2 unpack<__nv_bfloat16>(uint32_t x) {
    return __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(x));
}
template <> __device__ inline float2 unpack<__half>(uint32_t x) {
    return __half22float2(reinterpret_cast<const __half2&>(x));
}

// exp(-slope n) without the loss of an f32 product.
__device__ inline float power(float slope, int n) {
    const double x = static_cast<double>(slope) * n;
    const float high = static_cast<float>(x);
    return expf(-high) * (1.0f - static_cast<float>(x - static_cast<double>(high)));
}

} // namespace tnl::cuda
