// A warp's products: pieces of two rows of weights with the row of numbers in shared memory, in
// bf16 or as codes (ops/quant/quant.h), and the sums over the warp.
#pragma once

#include "cuda/reduce.cuh"
#include "ops/step/step.h"

#include <cuda_bf16.h>

namespace tnl::cuda {

constexpr int kStepPiece = static_cast<int>(StepPlan::kPiece);

// sums += the rows' pieces times x's, of `bytes` each.
__device__ inline void multiply_pack(float& sum, const uint4& w, const float (&x)[8]) {
    const uint32_t words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        sum = fmaf(__uint_as_float(words[i] << 16), x[2 * i], sum);
        sum = fmaf(__uint_as_float(words[i] & 0xffff0000u), x[2 * i + 1], sum);
    }
}
__device__ inline void multiply_piece(float (&sums)[2], const unsigned char* piece,
                                      const unsigned char* x, int bytes) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int u = 0; u < kStepPiece / 16 / kWarp; ++u) {
        const int at = (u * kWarp + lane) * 16;
        if (at >= bytes) break;
        const uint4 xs = *reinterpret_cast<const uint4*>(x + at);
        const uint4 first = *reinterpret_cast<const uint4*>(piece + at);
        const uint4 second = *reinterpret_cast<const uint4*>(piece + kStepPiece + at);
        const uint32_t words[4] = {xs.x, xs.y, xs.z, xs.w};
        float v[8];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            v[2 * i] = __uint_as_float(words[i] << 16);
            v[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
        }
        multiply_pack(sums[0], first, v);
        multiply_pack(sums[1], second, v);
    }
}

// ---- codes ----
//
// The numbers that codes are multiplied with lie in the order of the codes: of 2 h of them, number
// 2 j is the j-th and 2 j + 1 the (h + j)-th. A code becomes a float by being put into the low bits
// of 2^23, from which 2^23 and the code of zero are taken again: exactly.

// h; 0: numbers lie in their order.
__device__ inline int half_of(QuantFormat format) {
    return format == QuantFormat::int8 ? 16 : format == QuantFormat::int4 ? 32 : 0;
}
__device__ inline int place_of(int half, int i) {
    if (half == 0) return i;
    const int in = i & (2 * half - 1);
    return i - in + 2 * (in & (half - 1)) + (in >= half ? 1 : 0);
}

__device__ inline float scale_at(const unsigned char* scales, int group) {
    return __bfloat162float(reinterpret_cast<const __nv_bfloat16*>(scales)[group]);
}
__device__ inline float multiply_int8(uint2 codes, const float (&x)[8]) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        const uint32_t word = i < 4 ? codes.x : codes.y;
        const uint32_t bits =
            __byte_perm(word, 0x4b000000u, 0x7540u | static_cast<unsigned>(i & 3));
        sum = fmaf(__uint_as_float(bits) - 8388736.0f, x[i], sum); // 2^23 + 128
    }
    return sum;
}
// Codes stay where they lie in their word: the k-th of four counts 16^k.
__device__ inline float multiply_int4(uint32_t codes, const float (&x)[8]) {
    float sums[4] = {};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        const int k = i & 3;
        const uint32_t word = i < 4 ? codes : codes >> 16;
        const uint32_t bits = (word & (0xfu << (4 * k))) | 0x4b000000u;
        const float zero = 8388608.0f + static_cast<float>(8 << (4 * k));
        sums[k] = fmaf(__uint_as_float(bits) - zero, x[i], sums[k]);
    }
    return fmaf(sums[1], 1.0f / 16, sums[0]) + fmaf(sums[3], 1.0f / 4096, sums[2] * (1.0f / 256));
}
__device__ inline void numbers_of(float (&v)[8], const unsigned char* x) {
    const uint4 xs = *reinterpret_cast<const uint4*>(x);
    const uint32_t words[4] = {xs.x, xs.y, xs.z, xs.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        v[2 * i] = __uint_as_float(words[i] << 16);
        v[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
}
// One block of n codes of each row.
template <QuantFormat kFormat>
__device__ void multiply_block(float (&sums)[2], const unsigned char* block, const unsigned char* x,
                               int n) {
    constexpr bool kBytes = kFormat == QuantFormat::int8;
    constexpr int kGroup = static_cast<int>(quant_group(kFormat));
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int codes = kBytes ? n : n / 2;
#pragma unroll
    for (int u = 0; u < static_cast<int>(kQuantBlock) / 8 / kWarp; ++u) {
        const int at = (u * kWarp + lane) * 8;
        if (at >= n) break;
        float v[8];
        numbers_of(v, x + 2 * at);
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const unsigned char* row = block + r * kStepPiece;
            const float scale = scale_at(row + codes, at / kGroup);
            float sum;
            if constexpr (kBytes)
                sum = multiply_int8(*reinterpret_cast<const uint2*>(row + at), v);
            else
                sum = multiply_int4(*reinterpret_cast<const uint32_t*>(row + at / 2), v);
            sums[r] = fmaf(scale, sum, sums[r]);
        }
    }
}
// The codes of a block of so many bytes.
template <QuantFormat kFormat> __device__ int codes_of(int bytes) {
    if constexpr (kFormat == QuantFormat::int8) return bytes - 16;
    return (bytes - (bytes > 272 ? 32 : 16)) * 2; // scales of more than 8 groups are 32 bytes
}
template <QuantFormat kFormat>
__device__ void multiply_codes(float (&sums)[2], const unsigned char* piece, const unsigned char* x,
                               int bytes) {
    constexpr int kBlock = static_cast<int>(quant_block_bytes(kFormat, kQuantBlock));
#pragma unroll
    for (int b = 0; b < StepPlan::blocks_of(kFormat); ++b) {
        const int left = bytes - b * kBlock;
        if (left <= 0) break;
        multiply_block<kFormat>(sums, piece + b * kBlock, x + 2 * b * static_cast<int>(kQuantBlock),
                                codes_of<kFormat>(min(left, kBlock)));
    }
}

// sums[j][r] over the warp, for j of 4 and r of 2, all at once: in every lane, of the lanes' part
// that bits 4, 3 (j) and 2 (r) name.
__device__ inline float warp_sums(const float (&sums)[4][2]) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    float four[2][2], two[2];
#pragma unroll
    for (int j = 0; j < 2; ++j)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const bool high = lane & 16;
            four[j][r] = high ? sums[j + 2][r] : sums[j][r];
            four[j][r] += __shfl_xor_sync(0xffffffffu, high ? sums[j][r] : sums[j + 2][r], 16);
        }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const bool high = lane & 8;
        two[r] = high ? four[1][r] : four[0][r];
        two[r] += __shfl_xor_sync(0xffffffffu, high ? four[0][r] : four[1][r], 8);
    }
    const bool high = lane & 4;
    float one = high ? two[1] : two[0];
    one += __shfl_xor_sync(0xffffffffu, high ? two[0] : two[1], 4);
    one += __shfl_xor_sync(0xffffffffu, one, 2);
    return one + __shfl_xor_sync(0xffffffffu, one, 1);
}

} // namespace tnl::cuda
