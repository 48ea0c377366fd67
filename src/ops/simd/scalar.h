// What the loops are written in: loads, stores and functions of one number that compilers
// vectorise. Included by *_loops.h alone (see table.h).
#pragma once

#include "tensor/dtype.h"

namespace tnl {
namespace {
namespace simd_loops {

inline float load(const float& x) { return x; }
inline float load(const bf16& x) { return __builtin_bit_cast(float, uint32_t{x.bits} << 16); }

inline void store(float& to, float value) { to = value; }
inline void store(bf16& to, float value) {
    const uint32_t u = __builtin_bit_cast(uint32_t, value);
    const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    const uint32_t quiet = (u >> 16) | 0x40u;
    to.bits = static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

// Weights are read once, at the speed of memory. For that enough of them must be on the way at any
// time: one core gets 60 % of what it could from reading row after row. So loops take rows that lie
// far apart together, each the first of a run of rows, and ask for what is two kilobytes ahead in
// every run; behind its end that is the next run, or nothing that would hurt.
template <int64_t kBytes> [[gnu::always_inline]] inline void ask_ahead(const void* at) {
    constexpr int64_t kAhead = 2048, kLine = 64;
#pragma GCC unroll 4
    for (int64_t i = 0; i < kBytes; i += kLine)
        __builtin_prefetch(static_cast<const char*>(at) + kAhead + i);
}

inline float larger(float a, float b) { return a > b ? a : b; }
inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// e^x = 2^n e^r with |r| <= ln 2 / 2; e^r - 1 by its Taylor polynomial of degree 7 (error 5e-9).
// The scale 2^n is applied as two factors, so that results down to denormals and up to infinity
// come out right.
struct ExpParts {
    float minus_one; // e^r - 1
    float scale1, scale2;
};

inline ExpParts exp_parts(float x) {
    const float clamped = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x;
    constexpr float kShift = 12582912.0f; // 1.5 * 2^23: rounds to an integer in the low bits
    const float shifted = clamped * 1.44269504088896341f + kShift;
    const float n = shifted - kShift;
    const int32_t i = __builtin_bit_cast(int32_t, shifted) - 0x4B400000;
    const float r = (clamped - n * 0.693359375f) + n * 2.12194440054690583e-4f;
    float q = 1.98412698412698413e-4f;
    q = q * r + 1.38888888888888889e-3f;
    q = q * r + 8.33333333333333333e-3f;
    q = q * r + 4.16666666666666667e-2f;
    q = q * r + 1.66666666666666667e-1f;
    q = q * r + 0.5f;
    const int32_t half = i >> 1;
    return {r + r * r * q, __builtin_bit_cast(float, (half + 127) << 23),
            __builtin_bit_cast(float, (i - half + 127) << 23)};
}

inline float exp_of(float x) {
    const ExpParts p = exp_parts(x);
    return (1.0f + p.minus_one) * p.scale1 * p.scale2;
}

// For x <= 0, accurate near 0.
inline float expm1_of(float x) {
    const ExpParts p = exp_parts(x);
    const float scale = p.scale1 * p.scale2;
    return scale * p.minus_one + (scale - 1.0f);
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exp_of(-x)); }

} // namespace simd_loops
} // namespace
} // namespace tnl
