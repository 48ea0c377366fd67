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

} // namespace
} // namespace tnl
