#include "ops/fp8/fp8_cpu.h"

#include "ops/gemm/gemm.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace tnl {
namespace {

struct Layout8 {
    int mantissa, bias;
};
constexpr Layout8 layout_of(Fp8Format format) {
    return format == Fp8Format::e4m3 ? Layout8{3, 7} : Layout8{2, 15};
}

// A matrix's values in bf16, which holds every code, and its scale.
struct Decoded {
    std::vector<bf16> values;
    Tensor tensor;
    float scale;
    explicit Decoded(const Fp8Matrix& x)
        : values(static_cast<size_t>(x.codes.size())), scale(*x.scale.as<float>()) {
        bf16 of_code[256];
        for (int code = 0; code < 256; ++code)
            of_code[code] = bf16(fp8_value(static_cast<uint8_t>(code), x.format));
        const auto* codes = x.codes.as<uint8_t>();
        for (size_t i = 0; i < values.size(); ++i) values[i] = of_code[codes[i]];
        tensor = Tensor(values.data(), DType::bf16, {x.codes.shape[0], x.codes.shape[1]});
    }
};

template <class Gemm>
void multiply(Stream& stream, const Tensor& c, const Fp8Matrix& a, const Fp8Matrix& b, float beta,
              Gemm gemm) {
    check_fp8_gemm(c, a, b, beta);
    const Decoded x(a), y(b);
    gemm(stream, c, x.tensor, y.tensor, false, true, x.scale * y.scale, beta);
}

} // namespace

uint8_t fp8_from(float x, Fp8Format format) {
    if (std::isnan(x)) return 0x7f;
    const auto [mantissa, bias] = layout_of(format);
    const uint8_t sign = std::signbit(x) ? 0x80 : 0;
    const float magnitude = std::min(std::abs(x), largest_fp8(format));
    const int exponent = magnitude == 0 ? 1 - bias : std::max(std::ilogb(magnitude), 1 - bias);
    const auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, mantissa - exponent)));
    // Steps of 2^mantissa and more carry into the exponent, of which subnormals have none.
    return static_cast<uint8_t>(sign | (((exponent + bias - 1) << mantissa) + steps));
}

float fp8_value(uint8_t code, Fp8Format format) {
    const auto [mantissa, bias] = layout_of(format);
    const int rest = code & 0x7f, exponent = rest >> mantissa,
              digits = rest & ((1 << mantissa) - 1);
    const float sign = code & 0x80 ? -1.0f : 1.0f;
    if (format == Fp8Format::e4m3 ? rest == 0x7f : rest > 0x7c)
        return std::numeric_limits<float>::quiet_NaN();
    if (format == Fp8Format::e5m2 && rest == 0x7c)
        return sign * std::numeric_limits<float>::infinity();
    const int steps = exponent == 0 ? digits : digits + (1 << mantissa);
    return sign * std::ldexp(static_cast<float>(steps), std::max(exponent, 1) - bias - mantissa);
}

void check_fp8_quantize(const Fp8Matrix& y, const Tensor& transposed, const Tensor& x) {
    const auto [M, N] = x.dims<2>("fp8: x");
    TNL_CHECK(x.dtype == DType::bf16, "fp8: x is {}, wanted bf16", name_of(x.dtype));
    TNL_CHECK(x.stride[1] == 1 || N <= 1, "fp8: x has stride {} in its last dimension, wanted 1",
              x.stride[1]);
    TNL_CHECK(y.scale.is({1}) && y.scale.dtype == DType::f32, "fp8: scale is {} {}, wanted [1] f32",
              y.scale.shape_string(), name_of(y.scale.dtype));
    const auto fits = [](const Tensor& t, int64_t rows, int64_t cols) {
        TNL_CHECK(t.rank == 0 || (t.is({rows, cols}) && t.contiguous() && t.dtype == DType::u8),
                  "fp8: codes are {} {}, wanted [{}, {}] u8, contiguous", name_of(t.dtype),
                  t.shape_string(), rows, cols);
    };
    fits(y.codes, M, N);
    fits(transposed, N, M);
}

void check_fp8_gemm(const Tensor& c, const Fp8Matrix& a, const Fp8Matrix& b, float beta) {
    const auto [M, N] = c.dims<2>("fp8 product: c");
    const auto [a0, K] = a.codes.dims<2>("fp8 product: a");
    TNL_CHECK(a0 == M && b.codes.is({N, K}), "fp8 product: a {} b {} do not make c {}",
              a.codes.shape_string(), b.codes.shape_string(), c.shape_string());
    TNL_CHECK(N % 16 == 0 && K % 16 == 0,
              "fp8 product: {} columns, sums of {}: wanted multiples of 16", N, K);
    TNL_CHECK(a.codes.contiguous() && b.codes.contiguous() && a.codes.dtype == DType::u8 &&
                  b.codes.dtype == DType::u8,
              "fp8 product: a and b must be contiguous, of u8");
    TNL_CHECK(a.format == Fp8Format::e4m3 || b.format == Fp8Format::e4m3,
              "fp8 product: a and b are both e5m2");
    TNL_CHECK((c.dtype == DType::bf16 || c.dtype == DType::f32) && c.stride[1] == 1,
              "fp8 product: c is {}, wanted bf16 or f32 in rows", name_of(c.dtype));
    TNL_CHECK(beta == 0 || beta == 1, "fp8 product: beta is {}, wanted 0 or 1", beta);
}

namespace oracle {

void fp8_quantize(Stream&, Fp8Matrix y, Tensor transposed, Tensor x) {
    check_fp8_quantize(y, transposed, x);
    const int64_t M = x.shape[0], N = x.shape[1];
    const auto row = [&](int64_t m) { return x.as<bf16>() + m * x.stride[0]; };
    const auto largest = [&](int64_t step) {
        uint32_t most = 0;
        for (int64_t m = 0; m < M; m += step)
            for (int64_t n = 0; n < N; ++n)
                most = std::max<uint32_t>(most, row(m)[n].bits & 0x7fffu);
        return most;
    };
    const uint32_t sampled = largest(fp8_sample_step(M)), all = largest(1);
    const int shift = fp8_shift(fp8_overflows(sampled, all, y.format) ? all : sampled, y.format);
    *y.scale.as<float>() =
        all >= kBf16Infinity ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0f, -shift);
    for (int64_t m = 0; m < M; ++m)
        for (int64_t n = 0; n < N; ++n) {
            const uint8_t code =
                fp8_from(std::ldexp(static_cast<float>(row(m)[n]), shift), y.format);
            if (y.codes.rank) y.codes.as<uint8_t>()[m * N + n] = code;
            if (transposed.rank) transposed.as<uint8_t>()[n * M + m] = code;
        }
}

void fp8_gemm(Stream& stream, Tensor c, Fp8Matrix a, Fp8Matrix b, float beta, bool) {
    multiply(stream, c, a, b, beta, oracle::gemm);
}

} // namespace oracle

namespace fast {

void fp8_gemm(Stream& stream, Tensor c, Fp8Matrix a, Fp8Matrix b, float beta, bool) {
    multiply(stream, c, a, b, beta, fast::gemm);
}

} // namespace fast
} // namespace tnl
