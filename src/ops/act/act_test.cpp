#include "ops/act/act.h"

#include "ops/testbed.h"

#include <gmock/gmock.h>

namespace tnl {
namespace {

using namespace testing;

TEST(ActivationNames, RoundTripAndReleasedNames) {
    for (Activation act : kActivations) EXPECT_EQ(activation_from_name(name_of(act)), act);
    EXPECT_EQ(activation_from_name("swish"), Activation::silu);
    EXPECT_EQ(activation_from_name("leak"), Activation::leaky_relu);
    EXPECT_EQ(activation_from_name("1+elu"), Activation::one_plus_elu);
    EXPECT_EQ(activation_from_name("none"), Activation::identity);
    try {
        activation_from_name("mish");
        FAIL() << "no error";
    } catch (const UsageError& error) {
        EXPECT_THAT(error.what(), ::testing::HasSubstr("'mish'"));
        EXPECT_THAT(error.what(), ::testing::HasSubstr("2+elu"));
    }
}

class EachActivation : public ::testing::TestWithParam<Activation> {};
INSTANTIATE_TEST_SUITE_P(All, EachActivation, ::testing::ValuesIn(kActivations),
                         [](const auto& given) {
                             std::string name(name_of(given.param));
                             for (char& c : name)
                                 if (c == '+') c = '_';
                             return name;
                         });

// The value of each activation at one point, from its formula written out once more.
double formula(Activation act, double x, double max) {
    const double elu = x > 0 ? x : std::exp(x) - 1;
    switch (act) {
    case Activation::identity:
        return x;
    case Activation::silu:
        return x / (1 + std::exp(-x));
    case Activation::relu:
        return std::max(x, 0.0);
    case Activation::leaky_relu:
        return std::max(x, 0.0) + 0.01 * std::min(x, 0.0);
    case Activation::gelu:
        return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case Activation::elu:
        return elu;
    case Activation::one_plus_elu:
        return 1 + elu;
    case Activation::two_plus_elu:
        return 2 + elu;
    case Activation::sigmoid:
        return 0.5 * (1 + std::tanh(x / 2));
    case Activation::exp:
        return std::exp(x - max);
    case Activation::sine:
        return std::sin(x);
    }
    return 0;
}

TEST_P(EachActivation, ValueIsTheFormula) {
    CpuBed bed;
    const OwnedTensor x = bed.normal(DType::f64, {5, 7}, 1, 3), y = bed.zeros(DType::f64, {5, 7});
    cpu_oracle_kernels().act_forward(bed.stream(), y, x, GetParam());
    for (int64_t i = 0; i < x.size(); ++i) {
        double max = -1e300;
        for (int64_t c = 0; c < 7; ++c) max = std::max(max, value_at(x, i / 7 * 7 + c));
        EXPECT_NEAR(value_at(y, i), formula(GetParam(), value_at(x, i), max), 1e-14);
    }
}

// exp's maximum is held fixed, as no gradient flows through it: dx = y dy exactly.
TEST_P(EachActivation, GradientsAreFiniteDifferences) {
    const Activation act = GetParam();
    CpuBed bed;
    const Kernels& k = cpu_oracle_kernels();
    const OwnedTensor x = bed.normal(DType::f64, {4, 9}, 2), a = bed.normal(DType::f64, {4, 9}, 3);
    const OwnedTensor w = bed.normal(DType::f64, {4, 9}, 4), y = bed.zeros(DType::f64, {4, 9});
    const OwnedTensor dx = bed.zeros(DType::f64, {4, 9}), da = bed.zeros(DType::f64, {4, 9});
    k.act_backward(bed.stream(), dx, w, x, act);
    if (act == Activation::exp) {
        k.act_forward(bed.stream(), y, x, act);
        for (int64_t i = 0; i < x.size(); ++i)
            EXPECT_NEAR(value_at(dx, i), value_at(y, i) * value_at(w, i), 1e-15);
        k.gate_backward(bed.stream(), da, dx, {}, w, a, x, act);
        for (int64_t i = 0; i < x.size(); ++i) {
            EXPECT_NEAR(value_at(da, i), value_at(y, i) * value_at(w, i), 1e-15);
            EXPECT_NEAR(value_at(dx, i), value_at(y, i) * value_at(w, i) * value_at(a, i), 1e-15);
        }
        return;
    }
    EXPECT_TRUE(gradcheck("x", x, dx, [&] {
        k.act_forward(bed.stream(), y, x, act);
        return dot(w, y);
    }));
    k.gate_backward(bed.stream(), da, dx, {}, w, a, x, act);
    const auto gate = [&] {
        k.gate_forward(bed.stream(), y, a, x, act);
        return dot(w, y);
    };
    EXPECT_TRUE(gradcheck("a", a, da, gate));
    EXPECT_TRUE(gradcheck("g", x, dx, gate));
}

TEST_P(EachActivation, FastMatchesOracle) {
    const Activation act = GetParam();
    expect_fast_matches_oracle([&](const Kernels& k, CpuBed& bed, DType dtype) {
        std::vector<OwnedTensor> out;
        const Strided x(bed, dtype, 61, 333, 1, 2), a(bed, dtype, 61, 333, 2);
        const OwnedTensor dy = exact_normal(bed, dtype, {61, 333}, 3);
        for (int i = 0; i < 5; ++i) out.push_back(bed.zeros(dtype, {61, 333}));
        out.push_back(exact_normal(bed, dtype, {61, 333}, 3)); // dy, then y again
        for (int i = 0; i < 2; ++i) out.push_back(bed.zeros(dtype, {61, 333}));
        k.act_forward(bed.stream(), out[0], x.view, act);
        k.act_backward(bed.stream(), out[1], dy, x.view, act);
        k.gate_forward(bed.stream(), out[2], a.view, x.view, act);
        k.gate_backward(bed.stream(), out[3], out[4], {}, dy, a.view, x.view, act);
        k.gate_backward(bed.stream(), out[6], out[7], out[5], out[5], a.view, x.view, act);
        EXPECT_TRUE(identical(out[5], out[2]));
        EXPECT_TRUE(identical(out[6], out[3]));
        EXPECT_TRUE(identical(out[7], out[4]));
        return out;
    });
}

TEST_P(EachActivation, RankThreeViewsAndInPlace) {
    const Activation act = GetParam();
    expect_fast_matches_oracle([&](const Kernels& k, CpuBed& bed, DType dtype) {
        std::vector<OwnedTensor> out;
        // The third of four parts of a fused projection, as heads.
        const OwnedTensor fused = exact_normal(bed, dtype, {37, 4 * 3 * 40}, 5);
        const Tensor heads = fused.slice(1, 240, 360).split_last(3, 40);
        out.push_back(bed.zeros(dtype, {37, 3, 40}));
        k.act_forward(bed.stream(), out[0], heads, act);
        out.push_back(exact_normal(bed, dtype, {37, 3, 40}, 6));
        k.act_backward(bed.stream(), out[1], out[1], heads, act);
        k.act_forward(bed.stream(), heads, heads, act);
        EXPECT_TRUE(identical(heads, out[0]));
        return out;
    });
}

TEST(Gate, BackwardMayOverwriteItsInputs) {
    CpuBed bed;
    for (DType dtype : {DType::f32, DType::bf16}) {
        OwnedTensor dy = bed.normal(dtype, {9, 50}, 1), a = bed.normal(dtype, {9, 50}, 2);
        OwnedTensor g = bed.normal(dtype, {9, 50}, 3), da = bed.zeros(dtype, {9, 50});
        OwnedTensor dg = bed.zeros(dtype, {9, 50});
        const Kernels& k = cpu_kernels();
        k.gate_backward(bed.stream(), da, dg, {}, dy, a, g, Activation::silu);
        k.gate_backward(bed.stream(), dy, g, {}, dy, a, g, Activation::silu);
        EXPECT_TRUE(identical(dy, da));
        EXPECT_TRUE(identical(g, dg));
    }
}

TEST(Activation, ExtremesOfTheVectorisedExponential) {
    CpuBed bed;
    const OwnedTensor x = bed.zeros(DType::f32, {1, 24}), y = bed.zeros(DType::f32, {1, 24});
    const float values[] = {0, -0.0f, 1e-30f, -1e-30f, 88.7f, -88.7f, 200, -200};
    for (int i = 0; i < 24; ++i) set_value(x, i, static_cast<double>(values[i % 8]));
    cpu_kernels().act_forward(bed.stream(), y, x, Activation::sigmoid);
    for (int64_t i = 0; i < 24; ++i) {
        const double exact = 1 / (1 + std::exp(-value_at(x, i)));
        EXPECT_NEAR(value_at(y, i), exact, 1e-7 * exact + 1e-44) << value_at(x, i);
    }
    fill(x, std::numeric_limits<double>::quiet_NaN());
    cpu_kernels().act_forward(bed.stream(), y, x, Activation::silu);
    for (int64_t i = 0; i < 24; ++i) EXPECT_TRUE(std::isnan(value_at(y, i)));
    // elu keeps its digits near zero
    for (int i = 0; i < 24; ++i) set_value(x, i, -1e-6 * (i + 1));
    cpu_kernels().act_forward(bed.stream(), y, x, Activation::elu);
    for (int64_t i = 0; i < 24; ++i) {
        const double exact = std::expm1(value_at(x, i));
        EXPECT_NEAR(value_at(y, i), exact, -2e-7 * exact);
    }
}

TEST(Activation, MismatchedShapesAreNamed) {
    CpuBed bed;
    const OwnedTensor x = bed.zeros(DType::f32, {3, 4}), y = bed.zeros(DType::f32, {3, 5});
    try {
        cpu_kernels().act_forward(bed.stream(), y, x, Activation::silu);
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), ::testing::HasSubstr("y has shape [3, 5], x has shape [3, 4]"));
    }
}

} // namespace
} // namespace tnl
