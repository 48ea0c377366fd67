// Matrices of weights in 8 or 4 bits, for inference: symmetric codes with one scale for each group
// of neighbours along K.
//
//   int8: w = s (c - 128), c in [1, 255], s per 128      8.125 bits a weight
//   int4: w = s (c - 8), c in [0, 15], s per 64          4.25 bits a weight
//
// A row of K weights is a sequence of blocks of 1024 (the last one shorter: whole groups, zeros
// beyond K), each readable by itself:
//
//   codes    n bytes, or n / 2
//   scales   bf16, one for each group, then zeros up to a multiple of 16 bytes
//
// so that every block begins at and holds a multiple of 16 bytes, which is what a GPU's bulk copies
// move; a whole one is 1040 or 544 bytes. Rows follow each other. Within 32 or 64 codes the order
// is such that shifts and masks alone unpack a vector of them: of 32 codes of 8 bits, bytes 2 j and
// 2 j + 1 are c[j] and c[16 + j]; of 64 codes of 4 bits, byte j has c[j] in its lower half and
// c[32 + j] in its upper.
//
// Scales are bf16: they never underflow where weights do not, and codes are made for the rounded
// scale, so that its rounding costs nothing.
#pragma once

#include "base/rng.h"
#include "tensor/tensor.h"

#include <cstdint>
#include <string_view>
#include <utility>

namespace tnl {

enum class QuantFormat : uint8_t { none, int8, int4 };
std::string_view name_of(QuantFormat format);              // "none", "int8", "int4"
QuantFormat quant_format_from_name(std::string_view name); // throws UsageError with the names

constexpr int64_t kQuantBlock = 1024;
TNL_HOST_DEVICE constexpr int64_t quant_group(QuantFormat format) {
    return format == QuantFormat::int8 ? 128 : 64;
}
TNL_HOST_DEVICE constexpr int64_t quant_code_bytes(QuantFormat format, int64_t codes) {
    return format == QuantFormat::int8 ? codes : codes / 2;
}
// Of a block of `codes`, a multiple of the group.
TNL_HOST_DEVICE constexpr int64_t quant_block_bytes(QuantFormat format, int64_t codes) {
    const int64_t scales = 2 * (codes / quant_group(format));
    return quant_code_bytes(format, codes) + (scales + 15) / 16 * 16;
}
// K rounded up to whole groups.
TNL_HOST_DEVICE constexpr int64_t quant_padded(QuantFormat format, int64_t K) {
    const int64_t group = quant_group(format);
    return (K + group - 1) / group * group;
}
TNL_HOST_DEVICE constexpr int64_t quant_row_bytes(QuantFormat format, int64_t K) {
    const int64_t padded = quant_padded(format, K);
    return padded / kQuantBlock * quant_block_bytes(format, kQuantBlock) +
           quant_block_bytes(format, padded % kQuantBlock);
}

// The matrix [N, cols].
struct QuantMatrix {
    Tensor bytes;     // [N, quant_row_bytes(format, cols)] u8, contiguous
    int64_t cols = 0; // K
    QuantFormat format = QuantFormat::none;
    explicit operator bool() const { return format != QuantFormat::none; }
    int64_t rows() const { return bytes.shape[0]; }
};

// A row of K finite numbers as bytes. Of each group the scale is searched for that leaves the
// smallest sum of squared errors. importance [K], optional: weights of the squares.
void quantize_row(QuantFormat format, uint8_t* out, const float* x, int64_t K,
                  const float* importance = nullptr);
// The row's numbers, rounded once to T: f64, f32 or bf16.
template <class T> void dequantize_row(QuantFormat format, T* out, const uint8_t* row, int64_t K);

// The first scale of a row that is no finite number, as (place of the group, value); place -1 where
// all are.
std::pair<int64_t, float> first_bad_scale(QuantFormat format, const uint8_t* row, int64_t K);

struct QuantShape {
    int64_t M = 0, N = 0, K = 0;
};
// Contract of Kernels::quant_gemm; throws naming the tensor that does not fit.
QuantShape check_quant_gemm(const Tensor& c, const Tensor& a, const QuantMatrix& b, float beta);

} // namespace tnl
