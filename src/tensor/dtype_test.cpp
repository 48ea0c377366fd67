#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tnl {
namespace {

// The value of a half by its definition.
double half_value(unsigned bits) {
    const unsigned exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
    const double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == 31)
        return fraction ? std::numeric_limits<double>::quiet_NaN()
                        : sign * std::numeric_limits<double>::infinity();
    if (exponent == 0) return sign * std::ldexp(fraction, -24);
    return sign * std::ldexp(1024 + fraction, static_cast<int>(exponent) - 25);
}

TEST(DType, EveryHalfReadsAsItsValueAndBack) {
    for (unsigned bits = 0; bits < 65536; ++bits) {
        f16 half;
        half.bits = static_cast<uint16_t>(bits);
        const double want = half_value(bits), got = float(half);
        if (std::isnan(want)) {
            EXPECT_TRUE(std::isnan(got));
            EXPECT_TRUE(std::isnan(float(f16(float(half)))));
        } else {
            ASSERT_EQ(got, want) << bits;
            ASSERT_EQ(std::signbit(got), std::signbit(want)) << bits;
            ASSERT_EQ(f16(float(half)).bits, bits);
        }
    }
}

// Between two neighbours the nearer one, in the middle the even one.
TEST(DType, HalfRoundsToNearestEven) {
    for (unsigned bits = 0; bits < 0x7c00; ++bits) {
        const double low = half_value(bits);
        const double high = bits + 1 == 0x7c00 ? 65536.0 : half_value(bits + 1);
        const auto middle = static_cast<float>((low + high) / 2);
        const unsigned even = bits & 1 ? bits + 1 : bits;
        ASSERT_EQ(f16(middle).bits, even) << bits;
        ASSERT_EQ(f16(-middle).bits, even | 0x8000) << bits;
        ASSERT_EQ(f16(std::nextafter(middle, 0.0f)).bits, bits);
        ASSERT_EQ(f16(std::nextafter(middle, 1e9f)).bits, bits + 1);
    }
}

TEST(DType, BrainFloatRoundsToNearestEven) {
    EXPECT_EQ(bf16(1.0f).bits, 0x3f80);
    EXPECT_EQ(bf16(1.0f + 0x1p-8f).bits, 0x3f80);     // middle, even below
    EXPECT_EQ(bf16(1.0f + 3 * 0x1p-8f).bits, 0x3f82); // middle, even above
    EXPECT_EQ(bf16(1.0f + 0x1p-8f + 0x1p-20f).bits, 0x3f81);
    EXPECT_TRUE(std::isnan(float(bf16(std::numeric_limits<float>::quiet_NaN()))));
    EXPECT_TRUE(std::isinf(float(bf16(std::numeric_limits<float>::max()))));
}

TEST(DType, NamesAndSizes) {
    EXPECT_EQ(dtype_from_name("bfloat16"), DType::bf16);
    EXPECT_EQ(dtype_from_name("float32"), DType::f32);
    EXPECT_THROW(static_cast<void>(dtype_from_name("int4")), UsageError);
    EXPECT_EQ(size_of(DType::f64), 8);
    EXPECT_EQ(size_of(DType::f16), 2);
}

} // namespace
} // namespace tnl
