// The loop of fp32_peak for one vector width, compiled once per instruction set.
#pragma once

#include "cli/machine.h"

namespace tnl {

using Vector4 [[gnu::vector_size(16)]] = float;
using Vector8 [[gnu::vector_size(32)]] = float;
using Vector16 [[gnu::vector_size(64)]] = float;

// 12 chains: enough to hide 4 to 5 cycles of latency on two units, few enough for the registers.
template <class Vector> inline float fma_rounds(long rounds) {
    Vector sum[kFmaChains];
    for (int i = 0; i < kFmaChains; ++i) sum[i] = Vector{} + static_cast<float>(i + 1);
    Vector factor = Vector{} + 0.999f, term = Vector{} + 0.001f;
    for (long r = 0; r < rounds; ++r) {
        // Keeps the compiler from folding rounds together; costs no instruction.
        asm volatile("" : "+x"(factor), "+x"(term));
#pragma GCC unroll 12
        for (int i = 0; i < kFmaChains; ++i) sum[i] = sum[i] * factor + term;
    }
    for (int i = 1; i < kFmaChains; ++i) sum[0] += sum[i];
    float out = 0;
    for (size_t i = 0; i < sizeof(Vector) / sizeof(float); ++i) out += sum[0][i];
    return out;
}

} // namespace tnl
