#include "cli/machine.h"

#include <immintrin.h>

namespace tnl {

float dot_rounds_avx512(long rounds) {
    __m512 sum[kFmaChains];
    for (int i = 0; i < kFmaChains; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i + 1));
    __m512i factor = _mm512_set1_epi16(0x3a00), term = _mm512_set1_epi16(0x3b00);
    for (long r = 0; r < rounds; ++r) {
        // Keeps the compiler from folding rounds together; costs no instruction.
        asm volatile("" : "+x"(factor), "+x"(term));
#pragma GCC unroll 12
        for (int i = 0; i < kFmaChains; ++i)
            sum[i] = _mm512_dpbf16_ps(sum[i], __builtin_bit_cast(__m512bh, factor),
                                      __builtin_bit_cast(__m512bh, term));
    }
    for (int i = 1; i < kFmaChains; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
    float lanes[16], out = 0;
    _mm512_storeu_ps(lanes, sum[0]);
    for (const float x : lanes) out += x;
    return out;
}

} // namespace tnl
