#include "ops/quant/quant.h"

#include "base/check.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tnl {
namespace {

constexpr int64_t kMostGroup = 128;

// f(codes, scales, first, n) for each block of a row: first of K, n numbers with the padding.
template <class Byte, class F> void over_blocks(QuantFormat format, Byte* row, int64_t K, F&& f) {
    const int64_t padded = quant_padded(format, K);
    for (int64_t first = 0; first < padded; first += kQuantBlock) {
        const int64_t n = std::min(kQuantBlock, padded - first);
        f(row, row + quant_code_bytes(format, n), first, n);
        row += quant_block_bytes(format, n);
    }
}

float scale_at(const uint8_t* scales, int64_t group) {
    bf16 scale;
    scale.bits = static_cast<uint16_t>(scales[2 * group] | scales[2 * group + 1] << 8);
    return scale;
}

// Where code i of 8 bits lies.
int64_t place8(int64_t i) { return i / 32 * 32 + i % 16 * 2 + i % 32 / 16; }

int code_at(QuantFormat format, const uint8_t* codes, int64_t i) {
    if (format == QuantFormat::int8) return codes[place8(i)] - 128;
    const int half = static_cast<int>(i % 64 / 32);
    return (codes[i / 64 * 32 + i % 32] >> 4 * half & 15) - 8;
}

void set_code(QuantFormat format, uint8_t* codes, int64_t i, int code) {
    if (format == QuantFormat::int8) {
        codes[place8(i)] = static_cast<uint8_t>(code + 128);
        return;
    }
    const int shift = 4 * static_cast<int>(i % 64 / 32);
    uint8_t& byte = codes[i / 64 * 32 + i % 32];
    byte = static_cast<uint8_t>((byte & ~(15 << shift)) | (code + 8) << shift);
}

// Numbers of one group, zeros after the last.
struct Group {
    std::array<float, kMostGroup> x{}, weight{};
    int64_t n = 0;
};

// The nearest whole number within [low, high], ties to even.
float nearest(float ratio, float low, float high) {
    constexpr float kShift = 12582912.0f; // 1.5 * 2^23: its neighbours are whole numbers
    const float above = ratio < low ? low : ratio;
    const float within = above > high ? high : above;
    return (within + kShift) - kShift;
}

// Sums over a group of codes c = factor x: weight x c, weight c c.
struct Fit {
    float xc = 0, cc = 0;
};
Fit fit(const Group& g, float factor, float low, float high) {
    constexpr int kLanes = 16;
    float xc[kLanes] = {}, cc[kLanes] = {};
    for (int64_t i = 0; i < g.n; i += kLanes)
        for (int j = 0; j < kLanes; ++j) {
            const auto at = static_cast<size_t>(i + j);
            const float c = nearest(g.x[at] * factor, low, high);
            xc[j] += g.weight[at] * g.x[at] * c;
            cc[j] += g.weight[at] * c * c;
        }
    Fit out;
    for (int j = 0; j < kLanes; ++j) {
        out.xc += xc[j];
        out.cc += cc[j];
    }
    return out;
}

// 8 bits: the largest number has the largest code. 4 bits: it may also be cut, and as there are
// more negative codes it is -8's or thereabouts. Of codes c the best scale is xc / cc, and then the
// error is sum x x - xc^2 / cc: the candidates' codes are judged by it. Numbers become at most 1
// for that, so that nothing overflows.
float best_scale(QuantFormat format, Group g) {
    float largest = 0;
    for (const float x : g.x)
        if (std::abs(x) > std::abs(largest)) largest = x;
    constexpr float kTiny = 1e-36f;
    if (format == QuantFormat::int8) return std::abs(largest) / 127;
    if (std::abs(largest) < kTiny) return largest / -8;
    const float inverse = 1 / largest;
    for (float& x : g.x) x *= inverse;
    constexpr float kFirst = 5.6f, kLast = 9.2f;
    constexpr int kSteps = 13;
    float best = -1, scale = -1.0f / 8;
    for (int i = 0; i < kSteps; ++i)
        for (const float sign : {-1.0f, 1.0f}) {
            const float step = static_cast<float>(i) / (kSteps - 1);
            const Fit f = fit(g, sign * (kFirst + (kLast - kFirst) * step), -8, 7);
            if (f.cc <= 0) continue;
            const float gain = f.xc * (f.xc / f.cc);
            if (gain > best) {
                best = gain;
                scale = f.xc / f.cc;
            }
        }
    return scale * largest;
}

} // namespace

std::string_view name_of(QuantFormat format) {
    switch (format) {
    case QuantFormat::none:
        return "none";
    case QuantFormat::int8:
        return "int8";
    case QuantFormat::int4:
        return "int4";
    }
    return "?";
}

QuantFormat quant_format_from_name(std::string_view name) {
    for (const QuantFormat format : {QuantFormat::none, QuantFormat::int8, QuantFormat::int4})
        if (name == name_of(format)) return format;
    throw UsageError(
        fmt::format("unknown format of weights '{}', wanted none, int8 or int4", name));
}

void quantize_row(QuantFormat format, uint8_t* out, const float* x, int64_t K,
                  const float* importance) {
    const int64_t size = quant_group(format);
    const int low = format == QuantFormat::int8 ? -127 : -8;
    const int high = format == QuantFormat::int8 ? 127 : 7;
    std::fill_n(out, quant_row_bytes(format, K), uint8_t{0});
    over_blocks(format, out, K, [&](uint8_t* codes, uint8_t* scales, int64_t first, int64_t n) {
        Group g;
        g.n = size;
        for (int64_t at = 0; at < n; at += size) {
            for (int64_t i = 0; i < size; ++i) {
                const int64_t k = first + at + i;
                const auto to = static_cast<size_t>(i);
                g.x[to] = k < K ? x[k] : 0;
                g.weight[to] = importance && k < K ? importance[k] : 1;
            }
            const bf16 scale(best_scale(format, g));
            const int64_t group = at / size;
            scales[2 * group] = static_cast<uint8_t>(scale.bits & 0xff);
            scales[2 * group + 1] = static_cast<uint8_t>(scale.bits >> 8);
            const float s = scale;
            for (int64_t i = 0; i < size; ++i) {
                const float ratio = s == 0 ? 0 : g.x[static_cast<size_t>(i)] / s;
                set_code(format, codes, at + i,
                         static_cast<int>(
                             nearest(ratio, static_cast<float>(low), static_cast<float>(high))));
            }
        }
    });
}

template <class T> void dequantize_row(QuantFormat format, T* out, const uint8_t* row, int64_t K) {
    const int64_t size = quant_group(format);
    over_blocks(
        format, row, K, [&](const uint8_t* codes, const uint8_t* scales, int64_t first, int64_t n) {
            for (int64_t i = 0; i < std::min(n, K - first); ++i)
                out[first + i] =
                    T(static_cast<float>(code_at(format, codes, i)) * scale_at(scales, i / size));
        });
}
template void dequantize_row(QuantFormat, double*, const uint8_t*, int64_t);
template void dequantize_row(QuantFormat, float*, const uint8_t*, int64_t);
template void dequantize_row(QuantFormat, bf16*, const uint8_t*, int64_t);

std::pair<int64_t, float> first_bad_scale(QuantFormat format, const uint8_t* row, int64_t K) {
    const int64_t size = quant_group(format);
    std::pair<int64_t, float> bad{-1, 0};
    over_blocks(format, row, K,
                [&](const uint8_t*, const uint8_t* scales, int64_t first, int64_t n) {
                    for (int64_t g = 0; g < n / size; ++g)
                        if (const float s = scale_at(scales, g); bad.first < 0 && !std::isfinite(s))
                            bad = {first / size + g, s};
                });
    return bad;
}

QuantShape check_quant_gemm(const Tensor& c, const Tensor& a, const QuantMatrix& b, float beta) {
    TNL_CHECK(static_cast<bool>(b), "quant_gemm: b has no format");
    const auto [M, N] = c.dims<2>("quant_gemm: c");
    const auto [rows, K] = a.dims<2>("quant_gemm: a");
    TNL_CHECK(rows == M && b.cols == K && b.bytes.is({N, quant_row_bytes(b.format, K)}),
              "quant_gemm: a {} and b [{}, {}] of {} ({}) do not make c {}", a.shape_string(),
              b.bytes.rank == 2 ? b.rows() : 0, b.cols, name_of(b.format), b.bytes.shape_string(),
              c.shape_string());
    TNL_CHECK(b.bytes.dtype == DType::u8 && b.bytes.contiguous(),
              "quant_gemm: b is {}, wanted contiguous u8", name_of(b.bytes.dtype));
    TNL_CHECK(a.dtype == DType::f64 || a.dtype == DType::f32 || a.dtype == DType::bf16,
              "quant_gemm: a is {}, wanted f64, f32 or bf16", name_of(a.dtype));
    TNL_CHECK(c.dtype == a.dtype || (a.dtype == DType::bf16 && c.dtype == DType::f32),
              "quant_gemm: c is {} and a {}, wanted the same, or f32 for bf16", name_of(c.dtype),
              name_of(a.dtype));
    TNL_CHECK((a.stride[1] == 1 || K <= 1) && (c.stride[1] == 1 || N <= 1),
              "quant_gemm: a and c have strides {} and {} in their last dimension, wanted 1",
              a.stride[1], c.stride[1]);
    TNL_CHECK(beta == 0 || beta == 1, "quant_gemm: beta is {}, wanted 0 or 1", beta);
    return {M, N, K};
}

} // namespace tnl
