// For tests: tensors in host memory made from a seed, and compared with one scale-free measure,
// the largest absolute difference over the largest magnitude of what is expected.
#pragma once

#include "base/rng.h"
#include "tensor/device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace tnl::testing {

// The place of element i (row major) in memory.
inline int64_t offset_of(const Tensor& t, int64_t i) {
    int64_t offset = 0;
    for (int d = t.rank - 1; d >= 0; --d) {
        const auto k = static_cast<size_t>(d);
        offset += i % t.shape[k] * t.stride[k];
        i /= t.shape[k];
    }
    return offset;
}

// Element i (row major, strides honoured) of a host tensor of any dtype.
inline double value_at(const Tensor& t, int64_t i) {
    const int64_t at = offset_of(t, i);
    switch (t.dtype) {
    case DType::f64:
        return t.as<double>()[at];
    case DType::f32:
        return static_cast<double>(t.as<float>()[at]);
    case DType::bf16:
        return static_cast<double>(static_cast<float>(t.as<bf16>()[at]));
    case DType::f16:
        return static_cast<double>(static_cast<float>(t.as<f16>()[at]));
    case DType::i64:
        return static_cast<double>(t.as<int64_t>()[at]);
    case DType::i32:
        return t.as<int32_t>()[at];
    case DType::u16:
        return t.as<uint16_t>()[at];
    case DType::u8:
        return t.as<uint8_t>()[at];
    }
    return std::numeric_limits<double>::quiet_NaN();
}

inline void set_value(const Tensor& t, int64_t i, double value) {
    const int64_t at = offset_of(t, i);
    switch (t.dtype) {
    case DType::f64:
        t.as<double>()[at] = value;
        break;
    case DType::f32:
        t.as<float>()[at] = static_cast<float>(value);
        break;
    case DType::bf16:
        t.as<bf16>()[at] = bf16(value);
        break;
    case DType::f16:
        t.as<f16>()[at] = f16(value);
        break;
    case DType::i64:
        t.as<int64_t>()[at] = static_cast<int64_t>(value);
        break;
    case DType::i32:
        t.as<int32_t>()[at] = static_cast<int32_t>(value);
        break;
    case DType::u16:
        t.as<uint16_t>()[at] = static_cast<uint16_t>(value);
        break;
    case DType::u8:
        t.as<uint8_t>()[at] = static_cast<uint8_t>(value);
        break;
    }
}

inline void fill(const Tensor& t, double value) {
    for (int64_t i = 0; i < t.size(); ++i) set_value(t, i, value);
}

// Normal numbers times `scale`; the same for every dtype, up to rounding.
inline void fill_normal(const Tensor& t, uint64_t seed, double scale = 1) {
    for (int64_t i = 0; i < t.size(); ++i)
        set_value(t, i, scale * Philox{seed, 0x7e57}.normal(static_cast<uint64_t>(i)));
}

// Integers in [low, high).
inline void fill_integers(const Tensor& t, uint64_t seed, int64_t low, int64_t high) {
    for (int64_t i = 0; i < t.size(); ++i)
        set_value(t, i,
                  static_cast<double>(
                      low + static_cast<int64_t>(Philox{seed, 0x7e58}.below(
                                static_cast<uint64_t>(i), static_cast<uint64_t>(high - low)))));
}

inline OwnedTensor normal_tensor(Device& device, DType dtype, std::initializer_list<int64_t> dims,
                                 uint64_t seed, double scale = 1) {
    OwnedTensor t(device, dtype, dims);
    fill_normal(t, seed, scale);
    return t;
}

// A contiguous copy in another (or the same) dtype.
inline OwnedTensor converted(Device& device, const Tensor& x, DType dtype) {
    OwnedTensor y(device, dtype, x.shape.data(), x.rank);
    for (int64_t i = 0; i < x.size(); ++i) set_value(y, i, value_at(x, i));
    return y;
}

inline std::string coordinate(const Tensor& t, int64_t i) {
    std::string out = "]";
    for (int d = t.rank - 1; d >= 0; --d) {
        const int64_t n = t.shape[static_cast<size_t>(d)];
        out = (d ? ", " : "[") + std::to_string(i % n) + out;
        i /= n;
    }
    return out;
}

struct Difference {
    double max_abs = 0;              // largest |actual - expected|; infinite where only one is NaN
    double max_magnitude = 0;        // largest |expected|
    int64_t worst = 0;               // element of max_abs
    double actual = 0, expected = 0; // there
    double relative() const {
        if (max_abs == 0) return 0;
        return max_magnitude > 0 ? max_abs / max_magnitude
                                 : std::numeric_limits<double>::infinity();
    }
};

inline Difference difference(const Tensor& actual, const Tensor& expected) {
    Difference out;
    if (actual.size() != expected.size() || actual.rank != expected.rank) {
        out.max_abs = std::numeric_limits<double>::infinity();
        return out;
    }
    for (int64_t i = 0; i < expected.size(); ++i) {
        const double a = value_at(actual, i), e = value_at(expected, i);
        double d = std::abs(a - e);
        if (std::isnan(d))
            d = std::isnan(a) && std::isnan(e) ? 0
                : a == e                       ? 0
                                               : std::numeric_limits<double>::infinity();
        if (std::isfinite(e)) out.max_magnitude = std::max(out.max_magnitude, std::abs(e));
        if (d > out.max_abs) {
            out.max_abs = d;
            out.worst = i;
            out.actual = a;
            out.expected = e;
        }
    }
    return out;
}

inline std::string describe(const Difference& d, const Tensor& expected) {
    return fmt::format("largest difference {:.3e} ({:.3e} of the largest magnitude {:.3e}) at {} "
                       "of {}: {:.9g}, expected {:.9g}",
                       d.max_abs, d.relative(), d.max_magnitude, coordinate(expected, d.worst),
                       expected.shape_string(), d.actual, d.expected);
}

// EXPECT_TRUE(close(actual, expected, 1e-6)): max |difference| <= tolerance * max |expected|.
inline ::testing::AssertionResult close(const Tensor& actual, const Tensor& expected,
                                        double tolerance) {
    const Difference d = difference(actual, expected);
    if (d.relative() <= tolerance) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << describe(d, expected) << ", allowed " << tolerance;
}

// The rule for low precision: at most twice the error of the plain implementation in that
// precision, plus `slack` of the largest magnitude (for results where the plain one happens to be
// exact).
inline ::testing::AssertionResult within_twice(const Tensor& actual, const Tensor& plain,
                                               const Tensor& exact, double slack = 1e-7) {
    const Difference d = difference(actual, exact), p = difference(plain, exact);
    if (d.max_abs <= 2 * p.max_abs + slack * d.max_magnitude) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << describe(d, exact) << "; the plain implementation's largest is " << p.max_abs;
}

// Bit for bit: NaN equals itself, 0 and -0 differ.
inline ::testing::AssertionResult identical(const Tensor& a, const Tensor& b) {
    if (a.dtype != b.dtype || a.size() != b.size())
        return ::testing::AssertionFailure() << "dtype or size differ";
    const auto* pa = static_cast<const unsigned char*>(a.data);
    const auto* pb = static_cast<const unsigned char*>(b.data);
    const int64_t width = size_of(a.dtype);
    for (int64_t i = 0; i < a.size(); ++i)
        if (!std::equal(pa + offset_of(a, i) * width, pa + (offset_of(a, i) + 1) * width,
                        pb + offset_of(b, i) * width))
            return ::testing::AssertionFailure()
                   << "first difference at " << coordinate(a, i) << " of " << a.shape_string()
                   << ": " << value_at(a, i) << " and " << value_at(b, i);
    return ::testing::AssertionSuccess();
}

} // namespace tnl::testing
