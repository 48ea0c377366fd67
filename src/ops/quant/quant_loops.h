// Rows of a few activations as whole numbers, and their products with rows of quantized weights
// (ops/quant/quant.h). Within a group of weights all is whole numbers, exact; groups are summed in
// f32, block by block, in an order that depends neither on how many rows there are nor on which.
#pragma once

#include "ops/simd/scalar.h"
#include "ops/simd/simd.h"

namespace tnl {
namespace {
namespace simd_loops {

// As in quant.h.
constexpr int64_t kBlockCodes = 1024;
struct Int8 {
    static constexpr int kBits = 8, kGroup = 128;
    using Code = int16_t; // of activations
};
struct Int4 {
    static constexpr int kBits = 4, kGroup = 64;
    using Code = int8_t;
};

// x [n] of one group as codes * scale, scale the largest magnitude's by the largest code. NaN or
// infinity makes the scale, and so every product, NaN.
template <class S, class Code>
inline void narrow_group(Code* codes, float* scale, float* offset, const S* x, int64_t n,
                         int64_t size) {
    constexpr bool kNarrow = sizeof(Code) == 1; // for weights of 4 bits
    constexpr float kMost = kNarrow ? 127.0f : 32767.0f;
    constexpr int kLanes = 16;
    float largest[kLanes] = {}, bad[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
        for (int j = 0; j < kLanes; ++j) {
            const float v = simd_loops::load(x[i + j]);
            const float magnitude = v < 0 ? -v : v;
            largest[j] = magnitude > largest[j] ? magnitude : largest[j];
            bad[j] += v * 0.0f;
        }
    for (; i < n; ++i) {
        const float v = simd_loops::load(x[i]);
        const float magnitude = v < 0 ? -v : v;
        largest[0] = magnitude > largest[0] ? magnitude : largest[0];
        bad[0] += v * 0.0f;
    }
    float most = 0, spoiled = 0;
    for (int j = 0; j < kLanes; ++j) {
        most = largest[j] > most ? largest[j] : most;
        spoiled += bad[j];
    }
    *scale = most / kMost + spoiled;
    const float inverse = most > 1e-30f && spoiled == 0 ? kMost / most : 0.0f;
    constexpr float kShift = 12582912.0f; // rounds to a whole number in the low bits
    int32_t sum = 0;
    for (i = 0; i < n; ++i) {
        const float shifted = simd_loops::load(x[i]) * inverse + kShift;
        codes[i] = static_cast<Code>(__builtin_bit_cast(int32_t, shifted) - 0x4B400000);
        sum += codes[i];
    }
    for (; i < size; ++i) codes[i] = 0;
    *offset = static_cast<float>((kNarrow ? -8 : -128) * sum);
}

template <class S, class Code>
void quant_narrow(Code* codes, float* scales, float* offsets, const S* x, int64_t K,
                  int64_t group) {
    for (int64_t k = 0; k < K; k += group)
        narrow_group(codes + k, scales + k / group, offsets + k / group, x + k,
                     simd_loops::smaller(group, K - k), group);
}

inline float quant_scale(const uint8_t* at) {
    return __builtin_bit_cast(float, static_cast<uint32_t>(at[0] | at[1] << 8) << 16);
}

// Of one block and row m: sum over groups of scales times the whole sums of codes.
template <class Format>
inline float quant_block(const QuantRows<typename Format::Code>& a, int64_t m, int64_t first,
                         const uint8_t* block, int64_t n) {
    constexpr int64_t kGroup = Format::kGroup;
    const auto* x = a.codes + m * a.ld + first;
    const uint8_t* scales = block + n * Format::kBits / 8;
    float total = 0;
    for (int64_t g = 0; g < n / kGroup; ++g) {
        const int64_t place = m * a.groups + first / kGroup + g;
        int32_t sum = 0;
        for (int64_t i = g * kGroup; i < (g + 1) * kGroup; ++i) {
            if constexpr (Format::kBits == 8)
                sum += block[i / 32 * 32 + i % 16 * 2 + i % 32 / 16] * x[i];
            else
                sum += (block[i / 64 * 32 + i % 32] >> i % 64 / 32 * 4 & 15) * x[i];
        }
        total += (static_cast<float>(sum) + a.offsets[place]) *
                 (quant_scale(scales + 2 * g) * a.scales[place]);
    }
    return total;
}

// Contract: SimdKernels::dot_int8.
template <class Format>
void dot_quant(float* out, int64_t ld_out, const QuantRows<typename Format::Code>& a, int64_t M,
               const uint8_t* b, int64_t row_bytes, int64_t R) {
    for (int64_t r = 0; r < R; ++r)
        for (int64_t m = 0; m < M; ++m) {
            const uint8_t* block = b + r * row_bytes;
            float total = 0;
            for (int64_t first = 0; first < a.ld; first += kBlockCodes) {
                const int64_t n = simd_loops::smaller(kBlockCodes, a.ld - first);
                total += quant_block<Format>(a, m, first, block, n);
                block += n * Format::kBits / 8 + (n / Format::kGroup * 2 + 15) / 16 * 16;
            }
            out[m * ld_out + r] = total;
        }
}

template <int kN> struct Rows { static constexpr int value = kN; };

// The order in which loops of vectors add blocks to out [kM, R], which is set to zero: of kR rows
// of weights, R / kR apart (ask_ahead), and at last of one. block(Rows<kR>, where in out, distance
// of the rows there, first of K, a row's block, distance of the rows' blocks, n codes).
template <class Format, int kR, int kM, class Block>
inline void for_blocks(float* out, int64_t ld_out, const QuantRows<typename Format::Code>& a,
                       const uint8_t* b, int64_t row_bytes, int64_t R, Block&& block) {
    constexpr int64_t kWhole = kBlockCodes * Format::kBits / 8 + kBlockCodes / Format::kGroup * 2;
    for (int m = 0; m < kM; ++m)
        for (int64_t r = 0; r < R; ++r) out[m * ld_out + r] = 0;
    const int64_t apart = R / kR;
    // One row of activations stays in the first level cache whatever its length, and weights are
    // best read as they lie; of more rows only a block's does.
    const int64_t step = kM == 1 ? 1 : apart;
    for (int64_t begin = 0; begin < apart; begin += step)
        for (int64_t first = 0; first < a.ld; first += kBlockCodes) {
            const int64_t n = simd_loops::smaller(kBlockCodes, a.ld - first);
            const uint8_t* const blocks = b + first / kBlockCodes * kWhole;
            for (int64_t r = begin; r < begin + step; ++r)
                block(Rows<kR>{}, out + r, apart, first, blocks + r * row_bytes, apart * row_bytes,
                      n);
        }
    for (int64_t r = apart * kR; r < R; ++r)
        for (int64_t first = 0; first < a.ld; first += kBlockCodes)
            block(Rows<1>{}, out + r, 0, first, b + r * row_bytes + first / kBlockCodes * kWhole, 0,
                  simd_loops::smaller(kBlockCodes, a.ld - first));
}

} // namespace simd_loops
} // namespace
} // namespace tnl
