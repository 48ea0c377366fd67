// Numbers of 8 bits (2209.05433): e4m3, finite up to 448, for weights and activations; e5m2, with
// twice the exponents and half the digits, for gradients. A matrix in them has one scale.
//
// The scale is a function of the matrix alone. Nothing is kept from step to step, and the matrix is
// not read twice: the largest magnitude of some rows gives the scale, with room above it. The codes
// are then made, and the largest of all rows is found on the way. Where it did not fit they are
// made again, from the largest.
#pragma once

#include "base/rng.h"
#include "tensor/tensor.h"

#include <cstdint>

namespace tnl {

enum class Fp8Format : uint8_t { e4m3, e5m2 };

// The matrix codes[M,N] * scale.
struct Fp8Matrix {
    Tensor codes; // u8
    Tensor scale; // [1] f32, a power of two; NaN where an element was not finite
    Fp8Format format = Fp8Format::e4m3;
};

constexpr float largest_fp8(Fp8Format format) {
    return format == Fp8Format::e4m3 ? 448.0f : 57344.0f;
}

// Every how many rows the first estimate reads one.
TNL_HOST_DEVICE constexpr int64_t fp8_sample_step(int64_t rows) {
    return rows < 2048 ? 1 : rows / 1024;
}

// Magnitudes below are the bits of bf16 without the sign: their order is that of the numbers.
constexpr uint32_t kBf16Infinity = 0x7f80;

// Elements are multiplied by 2^shift. The largest that is known becomes 64 to 128 in e4m3, whose
// overflow is 448; 512 to 1024 of 57344 in e5m2, which has digits down to 2^-24 of that.
TNL_HOST_DEVICE inline int fp8_shift(uint32_t largest, Fp8Format format) {
    if (largest == 0 || largest >= kBf16Infinity) return 0;
    const int exponent = static_cast<int>(largest >> 7) - 127;
    return (format == Fp8Format::e4m3 ? 6 : 9) - (exponent < -60 ? -60 : exponent);
}
// Whether codes made for a sample's largest do not hold the largest of all.
TNL_HOST_DEVICE inline bool fp8_overflows(uint32_t sampled, uint32_t largest, Fp8Format format) {
    if (largest >= kBf16Infinity) return false; // nothing holds it
    if (sampled == 0) return largest != 0;
    const int most = (format == Fp8Format::e4m3 ? 8 : 15) + 127 - fp8_shift(sampled, format);
    return largest > (static_cast<uint32_t>(most) << 7 | 0x60); // 1.75 * 2^most
}

uint8_t fp8_from(float x, Fp8Format format); // to nearest even; beyond the largest: the largest
float fp8_value(uint8_t code, Fp8Format format);

// Contracts: ops/kernels.h.
void check_fp8_quantize(const Fp8Matrix& y, const Tensor& transposed, const Tensor& x);
void check_fp8_gemm(const Tensor& c, const Fp8Matrix& a, const Fp8Matrix& b, float beta);

} // namespace tnl
