// Numbers of a step: rounding, activations, the best of many.
#pragma once

#include "cuda/reduce.cuh"
#include "ops/kernels.h"

#include <cuda_bf16.h>

#include <cstdint>

namespace tnl::cuda {

__device__ inline float rounded(float x) { return __bfloat162float(__float2bfloat16_rn(x)); }
__device__ inline float sigmoid_of(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }
__device__ inline float activated(Activation act, float x) {
    if (act == Activation::silu) return x * sigmoid_of(x);
    return act == Activation::sigmoid ? sigmoid_of(x) : x;
}
__device__ inline uint32_t packed(float low, float high) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    uint32_t word;
    memcpy(&word, &pair, 4);
    return word;
}

struct Best {
    float value;
    int column; // -1: none above -infinity
    bool bad;   // NaN or +infinity was seen
    __device__ void join(float x, int c, bool is_bad) {
        bad = bad || is_bad;
        if (c >= 0 && (x > value || (x == value && (column < 0 || c < column)))) {
            value = x;
            column = c;
        }
    }
    __device__ void see(float x, int c) { join(x, x > -INFINITY ? c : -1, !(x < INFINITY)); }
    __device__ void join_warp() {
        for (int offset = kWarp / 2; offset > 0; offset /= 2)
            join(__shfl_xor_sync(0xffffffffu, value, offset),
                 __shfl_xor_sync(0xffffffffu, column, offset),
                 __shfl_xor_sync(0xffffffffu, static_cast<int>(bad), offset) != 0);
    }
};

} // namespace tnl::cuda
