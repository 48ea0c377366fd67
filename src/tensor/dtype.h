// Element types, and the one place where a run-time dtype becomes a C++ type.
#pragma once

#include "base/check.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace tnl {

enum class DType : uint8_t { f64, f32, bf16, f16, i64, i32, u16, u8 };

constexpr int64_t size_of(DType dtype) {
    switch (dtype) {
    case DType::f64:
    case DType::i64:
        return 8;
    case DType::f32:
    case DType::i32:
        return 4;
    case DType::bf16:
    case DType::f16:
    case DType::u16:
        return 2;
    case DType::u8:
        return 1;
    }
    return 0;
}
constexpr bool is_float(DType dtype) {
    return dtype == DType::f64 || dtype == DType::f32 || dtype == DType::bf16 ||
           dtype == DType::f16;
}
std::string_view name_of(DType dtype);        // "f32", "bf16", ...
DType dtype_from_name(std::string_view name); // accepts "float32", "f32", "bfloat16", ...; throws

// bfloat16: the upper half of an f32, rounded to nearest even. NaN stays NaN.
struct bf16 {
    uint16_t bits = 0;
    bf16() = default;
    explicit bf16(float value) {
        const uint32_t u = std::bit_cast<uint32_t>(value);
        bits = (u & 0x7fffffffu) > 0x7f800000u
                   ? static_cast<uint16_t>((u >> 16) | 0x40u)
                   : static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
    }
    explicit bf16(double value) : bf16(static_cast<float>(value)) {}
    operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

// IEEE half, rounded to nearest even. On bits: Clang has no _Float16 for every x86-64.
struct f16 {
    uint16_t bits = 0;
    f16() = default;
    explicit f16(float value) {
        const uint32_t u = std::bit_cast<uint32_t>(value), magnitude = u & 0x7fffffffu;
        uint32_t half;
        if (magnitude > 0x7f800000u)
            half = 0x7e00u; // NaN
        else if (magnitude >= 0x477ff000u)
            half = 0x7c00u; // 65520 and above round to infinity
        else if (magnitude < 0x38800000u)
            // Subnormal: next to 0.5 an f32 has steps of 2^-24, the subnormals' own.
            half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
        else
            half = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
        bits = static_cast<uint16_t>((u >> 16 & 0x8000u) | half);
    }
    explicit f16(double value) : f16(static_cast<float>(value)) {}
    operator float() const {
        const uint32_t sign = (bits & 0x8000u) << 16, rest = bits & 0x7fffu;
        if (rest >= 0x7c00u)
            return std::bit_cast<float>(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
        if (rest >= 0x400u) return std::bit_cast<float>(sign | ((rest << 13) + 0x38000000u));
        const float small = static_cast<float>(rest) * 0x1p-24f;
        return sign ? -small : small;
    }
};

// The type sums are kept in: f64 for f64, f32 for the rest.
template <class T> using Accumulator = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T> constexpr DType dtype_of();
template <> constexpr DType dtype_of<double>() { return DType::f64; }
template <> constexpr DType dtype_of<float>() { return DType::f32; }
template <> constexpr DType dtype_of<bf16>() { return DType::bf16; }
template <> constexpr DType dtype_of<f16>() { return DType::f16; }
template <> constexpr DType dtype_of<int64_t>() { return DType::i64; }
template <> constexpr DType dtype_of<int32_t>() { return DType::i32; }
template <> constexpr DType dtype_of<uint16_t>() { return DType::u16; }
template <> constexpr DType dtype_of<uint8_t>() { return DType::u8; }

// Calls f.template operator()<T>() with T = double, float or bf16.
template <class F> decltype(auto) dispatch_float(DType dtype, F&& f) {
    switch (dtype) {
    case DType::f64:
        return f.template operator()<double>();
    case DType::f32:
        return f.template operator()<float>();
    case DType::bf16:
        return f.template operator()<bf16>();
    default:
        fail("dtype {} is not supported here, wanted f64, f32 or bf16", name_of(dtype));
    }
}

} // namespace tnl
