// A warp's products: pieces of two rows of weights with the row of numbers in shared memory, in
// bf16 or as codes (ops/quant/quant.h), and the sums over the warp.
#pragma once

#include "cuda/mma.cuh"
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
// 512 codes are multiplied at a time: lane l has 16 that follow each other, four lanes a group's 64
// (or half of its 128). The numbers they are multiplied with lie so that a lane reads its own 16 in
// two packs, a warp's packs side by side, and pairs of them as pairs of codes come out.

constexpr int kCodesAtOnce = 512;

// Where numbers i and i + 1 lie, or of 4 bits i and i + 2, among numbers in their order; i a
// multiple of 4, or for the pair after them `second`.
__device__ inline int place_of(QuantFormat format, int i, bool second) {
    const int half = format == QuantFormat::int8 ? 16 : 32, in = i & (2 * half - 1),
              code = i - in + 2 * (in & (half - 1)) + (in >= half ? 2 : 0) + (second ? 4 : 0);
    return code / kCodesAtOnce * kCodesAtOnce + (code & 8) * kWarp + code % kCodesAtOnce / 16 * 8 +
           (code & 7);
}
// Numbers i to i + 3 of a row, in bf16, for codes.
__device__ inline void store_for_codes(unsigned char* row, QuantFormat format, int i, uint2 four) {
    const bool bytes = format == QuantFormat::int8;
    const uint32_t first = bytes ? four.x : __byte_perm(four.x, four.y, 0x5410),
                   second = bytes ? four.y : __byte_perm(four.x, four.y, 0x7632);
    auto* const to = reinterpret_cast<uint16_t*>(row);
    *reinterpret_cast<uint32_t*>(to + place_of(format, i, false)) = first;
    *reinterpret_cast<uint32_t*>(to + place_of(format, i, true)) = second;
}
// A lane's 16 of them, as pairs.
struct CodeNumbers {
    uint32_t pairs[8];
    explicit __device__ CodeNumbers(const unsigned char* x) { // of the 512 at x
        const int lane = static_cast<int>(threadIdx.x) % kWarp;
        const uint4 low = load_shared_16(x + lane * 16),
                    high = load_shared_16(x + (kWarp + lane) * 16);
        const uint32_t words[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int i = 0; i < 8; ++i) pairs[i] = words[i];
    }
    __device__ void keep_if(bool there) {
#pragma unroll
        for (uint32_t& pair : pairs) pair = there ? pair : 0;
    }
    __device__ float at(int i) const {
        return __uint_as_float(i % 2 ? pairs[i / 2] & 0xffff0000u : pairs[i / 2] << 16);
    }
};

// Codes of 8 bits become floats by being put into the low bits of 2^23, from which 2^23 and the
// code of zero are taken again: exactly.
__device__ inline float multiply_int8(const uint4& codes, const CodeNumbers& x) {
    const uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
    float sums[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 16; ++i) {
        const int byte = i % 4, number = i - byte + byte % 2 * 2 + byte / 2;
        const uint32_t bits =
            __byte_perm(words[i / 4], 0x4b000000u, 0x7540u | static_cast<unsigned>(byte));
        sums[i % 2] =
            fmaf(__uint_as_float(bits) - 8388736.0f, x.at(number), sums[i % 2]); // 2^23 + 128
    }
    return sums[0] + sums[1];
}

// Codes of 4 bits are multiplied by tensor cores, though it is a row that the weights are
// multiplied with: in m16n8k16 lane 4 g + t brings numbers of rows g and 8 + g of one operand and
// of column g of the other. Every lane brings those that it has read, of the first row, the second,
// and x, as if each four lanes were a row of their own; then [g, g] and [8 + g, g] of the product
// are the sums over the four lanes, and the rest is of no use. That wastes seven of eight products,
// of which there are plenty, and takes the place of conversions to floats: a code becomes 128 + c,
// a number of bf16, by being put into its lowest bits, two at once where they lie 16 bits apart,
// and 136 come off exactly.
class Int4Sums {
  public:
    // Eight codes of each row, with pairs i to i + 3 of x.
    __device__ void add(uint32_t first, uint32_t second, const CodeNumbers& x, int i) {
#pragma unroll
        for (int h = 0; h < 2; ++h)
            add(numbers_of(first >> (8 * h)), numbers_of(second >> (8 * h)),
                numbers_of(first >> (8 * h + 4)), numbers_of(second >> (8 * h + 4)),
                x.pairs[i + 2 * h], x.pairs[i + 2 * h + 1]);
    }
    // Of a row, in the lanes that holds() tells.
    __device__ float of(int row) const {
        const bool odd = threadIdx.x & 4;
        return odd ? c_.r[2 * row + 1] : c_.r[2 * row];
    }
    __device__ static bool holds() { return (threadIdx.x >> 3 & 3) == (threadIdx.x & 3); }

  private:
    // Of the codes in bits 0 to 3 and 16 to 19.
    __device__ static uint32_t numbers_of(uint32_t codes) {
        uint32_t bits = and_or<0x000f000f, 0x43004300>(codes);
        __nv_bfloat162 pair;
        memcpy(&pair, &bits, 4);
        pair = __hsub2(pair, __floats2bfloat162_rn(136, 136));
        memcpy(&bits, &pair, 4);
        return bits;
    }
    __device__ void add(uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                        uint32_t b1) {
        mma(c_, FragmentA{{a0, a1, a2, a3}}, FragmentB{{b0, b1, 0, 0}}, 0);
    }
    FragmentC c_{};
};

__device__ inline float scale_at(const unsigned char* scales, int group) {
    return __bfloat162float(reinterpret_cast<const __nv_bfloat16*>(scales)[group]);
}
// sums += one block of n codes of each row, the second `apart` bytes further, times x's.
template <QuantFormat kFormat>
__device__ void multiply_block(float (&sums)[2], const unsigned char* block, int apart,
                               const unsigned char* x, int n) {
    constexpr bool kBytes = kFormat == QuantFormat::int8;
    constexpr int kGroup = static_cast<int>(quant_group(kFormat));
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const unsigned char* const scales = block + (kBytes ? n : n / 2);
#pragma unroll
    for (int first = 0; first < static_cast<int>(kQuantBlock); first += kCodesAtOnce) {
        if (first >= n) break;
        // Lanes beyond the end read the last codes once more, for zeros.
        const int wanted = first + lane * 16, at = min(wanted, n - 16);
        CodeNumbers numbers(x + 2 * first);
        float two[2];
        if constexpr (kBytes) {
            const uint4 a = load_shared_16(block + at), b = load_shared_16(block + apart + at);
            if (n - first < kCodesAtOnce) numbers.keep_if(wanted < n);
            two[0] = multiply_int8(a, numbers);
            two[1] = multiply_int8(b, numbers);
        } else {
            const uint2 a = load_shared_8(block + at / 2),
                        b = load_shared_8(block + apart + at / 2);
            if (n - first < kCodesAtOnce) numbers.keep_if(wanted < n);
            Int4Sums halves[2]; // so that one need not wait for the other
            halves[0].add(a.x, b.x, numbers, 0);
            halves[1].add(a.y, b.y, numbers, 4);
            if (!Int4Sums::holds()) continue;
#pragma unroll
            for (int r = 0; r < 2; ++r) two[r] = halves[0].of(r) + halves[1].of(r);
        }
#pragma unroll
        for (int r = 0; r < 2; ++r)
            sums[r] = fmaf(scale_at(scales + r * apart, at / kGroup), two[r], sums[r]);
    }
}
// The codes of a block of so many bytes.
template <QuantFormat kFormat> __device__ int codes_of(int bytes) {
    if constexpr (kFormat == QuantFormat::int8) return bytes - 16;
    return (bytes - (bytes > 272 ? 32 : 16)) * 2; // scales of more than 8 groups are 32 bytes
}
template <QuantFormat kFormat>
__device__ void multiply_codes(float (&sums)[2], const unsigned char* piece, int apart,
                               const unsigned char* x, int bytes) {
    constexpr int kBlock = static_cast<int>(quant_block_bytes(kFormat, kQuantBlock));
#pragma unroll
    for (int b = 0; b < StepPlan::blocks_of(kFormat); ++b) {
        const int left = bytes - b * kBlock;
        if (left <= 0) break;
        multiply_block<kFormat>(sums, piece + b * kBlock, apart,
                                x + 2 * b * static_cast<int>(kQuantBlock),
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
