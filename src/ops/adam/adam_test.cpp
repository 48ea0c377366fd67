#include "ops/adam/adam.h"

#include "ops/testbed.h"

namespace tnl {
namespace {

using namespace testing;

// The formula as published (1711.05101 Algorithm 2, with the learning rate on the decay too, as
// PyTorch has it), in double, one number at a time.
struct Reference {
    double w, m = 0, v = 0;
    void step(double g, const AdamW& a) {
        g *= static_cast<double>(a.gradient_scale);
        const double b1 = static_cast<double>(a.beta1), b2 = static_cast<double>(a.beta2);
        const double lr = static_cast<double>(a.lr);
        w -= lr * static_cast<double>(a.weight_decay) * w;
        m = b1 * m + (1 - b1) * g;
        v = b2 * v + (1 - b2) * g * g;
        const double m_hat = m / (1 - std::pow(b1, static_cast<double>(a.step)));
        const double v_hat = v / (1 - std::pow(b2, static_cast<double>(a.step)));
        w -= lr * m_hat / (std::sqrt(v_hat) + static_cast<double>(a.eps));
    }
};

void compare_with_formula(const Kernels& k, DType dtype, bool working_copy, double tolerance) {
    CpuBed bed;
    const int64_t n = 20011;
    const DType acc = acc_of(dtype);
    const OwnedTensor master = bed.normal(acc, {n}, 1), m = bed.zeros(acc, {n});
    const OwnedTensor v = bed.zeros(acc, {n}), copy = bed.zeros(dtype, {n});
    std::vector<Reference> reference;
    for (int64_t i = 0; i < n; ++i) reference.push_back({value_at(master, i)});
    for (int64_t step = 1; step <= 5; ++step) {
        const OwnedTensor g = bed.normal(acc, {n}, 10 + static_cast<uint64_t>(step), 0.1);
        const AdamW a{.lr = 0.01f * static_cast<float>(step),
                      .eps = 1e-6f,
                      .weight_decay = 0.1f,
                      .gradient_scale = 0.5f,
                      .step = step};
        k.adamw(bed.stream(), working_copy ? Tensor(copy) : Tensor(master), master, m, v, g, a);
        for (int64_t i = 0; i < n; ++i) reference[static_cast<size_t>(i)].step(value_at(g, i), a);
    }
    OwnedTensor w = bed.zeros(DType::f64, {n}), wm = bed.zeros(DType::f64, {n});
    OwnedTensor wv = bed.zeros(DType::f64, {n});
    for (int64_t i = 0; i < n; ++i) {
        set_value(w, i, reference[static_cast<size_t>(i)].w);
        set_value(wm, i, reference[static_cast<size_t>(i)].m);
        set_value(wv, i, reference[static_cast<size_t>(i)].v);
    }
    EXPECT_TRUE(close(master, w, tolerance));
    EXPECT_TRUE(close(m, wm, tolerance));
    EXPECT_TRUE(close(v, wv, tolerance));
    for (int64_t i = 0; working_copy && i < n; ++i) {
        const double w_i = value_at(master, i);
        ASSERT_EQ(value_at(copy, i),
                  dtype == DType::bf16 ? static_cast<double>(static_cast<float>(bf16(w_i))) : w_i);
    }
}

TEST(AdamW, IsTheFormula) {
    compare_with_formula(cpu_oracle_kernels(), DType::f64, false, 1e-14);
    compare_with_formula(cpu_oracle_kernels(), DType::f32, false, 5e-7);
    compare_with_formula(cpu_oracle_kernels(), DType::bf16, true, 5e-7);
    compare_with_formula(cpu_kernels(), DType::f64, true, 1e-14);
    compare_with_formula(cpu_kernels(), DType::f32, false, 5e-7);
    compare_with_formula(cpu_kernels(), DType::f32, true, 5e-7);
    compare_with_formula(cpu_kernels(), DType::bf16, true, 5e-7);
}

TEST(AdamW, ZeroGradientOnlyDecays) {
    CpuBed bed;
    const OwnedTensor w = bed.normal(DType::f32, {33}, 1), m = bed.zeros(DType::f32, {33});
    const OwnedTensor v = bed.zeros(DType::f32, {33}), g = bed.zeros(DType::f32, {33});
    const OwnedTensor before = converted(*bed.device, w, DType::f32);
    cpu_kernels().adamw(bed.stream(), w, w, m, v, g, {.lr = 0.5f, .weight_decay = 0.5f});
    for (int64_t i = 0; i < 33; ++i)
        EXPECT_EQ(value_at(w, i), static_cast<float>(0.75 * value_at(before, i)));
}

// One step of n weights that begin at `start`, without a master; the range begins at `first`.
std::vector<double> stochastic_step(const Kernels& k, float start, int64_t n, int64_t first,
                                    int64_t step) {
    CpuBed bed;
    const OwnedTensor w = bed.zeros(DType::bf16, {n}), m = bed.zeros(DType::f32, {n});
    const OwnedTensor v = bed.zeros(DType::f32, {n}), g = bed.zeros(DType::f32, {n});
    for (int64_t i = 0; i < n; ++i) {
        set_value(w, i, static_cast<double>(start));
        set_value(g, i, 1);
    }
    AdamW a{.lr = 0.0005f, .step = step, .first = first};
    a.beta1 = a.beta2 = 0; // the update is lr
    k.adamw(bed.stream(), w, Tensor(), m, v, g, a);
    std::vector<double> out;
    for (int64_t i = 0; i < n; ++i) out.push_back(value_at(w, i));
    return out;
}

TEST(AdamW, StochasticRoundingIsRightInTheMean) {
    const int64_t n = 100000;
    const double exact = 1 - 0.0005, below = 1 - 0x1p-8, up = (exact - below) / (1 - below);
    for (const Kernels* k : {&cpu_oracle_kernels(), &cpu_kernels()}) {
        int64_t above = 0;
        for (const double w : stochastic_step(*k, 1, n, 0, 1)) {
            ASSERT_TRUE(w == 1 || w == below) << w;
            above += w == 1;
        }
        // To nearest, all would have stayed at 1. Five standard deviations of n draws:
        const double tolerance = 5 * std::sqrt(up * (1 - up) / static_cast<double>(n));
        EXPECT_NEAR(static_cast<double>(above) / static_cast<double>(n), up, tolerance);
    }
}

TEST(AdamW, StochasticRoundingIsAFunctionOfStepAndPlace) {
    const auto whole = stochastic_step(cpu_kernels(), 1, 5000, 0, 1);
    EXPECT_EQ(stochastic_step(cpu_oracle_kernels(), 1, 5000, 0, 1), whole);
    const auto part = stochastic_step(cpu_kernels(), 1, 2003, 1234, 1);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 1234));
    EXPECT_NE(stochastic_step(cpu_kernels(), 1, 5000, 0, 2), whole);
}

TEST(AdamW, StochasticRoundingKeepsInfinityAndNaN) {
    StochasticRounding rounding(1);
    for (int64_t i = 0; i < 64; ++i) {
        EXPECT_EQ(rounding.bits(INFINITY, i), 0x7f80);
        EXPECT_EQ(rounding.bits(-INFINITY, i), 0xff80);
        EXPECT_GT(rounding.bits(__builtin_bit_cast(float, 0x7fffffffu), i) & 0x7fff, 0x7f80);
        EXPECT_EQ(rounding.bits(0.5f, i), bf16(0.5f).bits); // a bf16 stays
    }
}

} // namespace
} // namespace tnl
