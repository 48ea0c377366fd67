// The products of quant_loops_avx512.h where one instruction multiplies and adds (AVX512_VNNI).
// Included by simd_avx512_bf16.cpp alone: every processor that multiplies bf16 has them, too.
#pragma once

#include "ops/quant/quant_loops_avx512.h"

namespace tnl {
namespace {
namespace simd_loops {

struct Vnni {
    static __m512i pairs(__m512i sum, __m512i w, __m512i x) {
        return _mm512_dpwssd_epi32(sum, w, x);
    }
    static __m512i fours(__m512i w, __m512i x, __m512i v, __m512i y) {
        return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), w, x), v, y);
    }
};

} // namespace simd_loops
} // namespace
} // namespace tnl
