// All loops as one table, for the instruction set this file is compiled for; included by the
// simd_*.cpp files alone. Everything lies in an unnamed namespace, and calls no inline function of
// other headers, lest the linker keep one file's instructions for all.
#pragma once

#include "ops/act/act_loops.h"
#include "ops/adam/adam_loops.h"
#include "ops/flat/flat_loops.h"
#include "ops/gemm/gemv_loops.h"
#include "ops/loss/loss_loops.h"
#include "ops/norm/norm_loops.h"
#include "ops/position/lrpe_loops.h"
#include "ops/quant/quant_loops.h"
#include "ops/simd/simd.h"
#include "ops/softmax/softmax_loops.h"

namespace tnl {
namespace {

template <class S, int kBytes> constexpr RowLoops<S> row_loops() {
    return {
        .act_forward = simd_loops::act_forward<S>,
        .act_backward = simd_loops::act_backward<S>,
        .gate_forward = simd_loops::gate_forward<S>,
        .gate_backward = simd_loops::gate_backward<S>,
        .norm_forward = simd_loops::norm_forward<S>,
        .norm_backward = simd_loops::norm_backward<S>,
        .norm_dweights = simd_loops::norm_dweights<S>,
        .cross_entropy = simd_loops::cross_entropy<S>,
        .lrpe_forward = simd_loops::lrpe_forward<S>,
        .lrpe_backward = simd_loops::lrpe_backward<S>,
        .add = simd_loops::add<S>,
        .scaled_copy = simd_loops::scaled_copy<S>,
        .accumulate = simd_loops::accumulate<S>,
        .sum_squares = simd_loops::sum_squares<S>,
        .sum = simd_loops::sum<S>,
        .adamw = simd_loops::adamw<S>,
        .dot_rows = simd_loops::dot_rows<S, kBytes>,
        .quant_narrow16 = simd_loops::quant_narrow<S, int16_t>,
        .quant_narrow8 = simd_loops::quant_narrow<S, int8_t>,
    };
}

template <int kBytes> constexpr SimdKernels simd_table(const char* name) {
    return {
        .name = name,
        .f32 = row_loops<float, kBytes>(),
        .bf16_ = row_loops<bf16, kBytes>(),
        .widen = simd_loops::convert<float, bf16>,
        .narrow = simd_loops::convert<bf16, float>,
        .softmax_exp = simd_loops::softmax_exp,
        .softmax_more = simd_loops::softmax_more,
        .softmax_slope = simd_loops::softmax_slope,
        .dot_bf16 = nullptr,
        .dot_int8 = simd_loops::dot_quant<simd_loops::Int8>,
        .dot_int4 = simd_loops::dot_quant<simd_loops::Int4>,
    };
}

} // namespace
} // namespace tnl
