// AdamW against the formula of 1711.05101, written here once more and in double.
#include "train/optimizer.h"

#include "train/testbed.h"

#include <cmath>

namespace tnl {
namespace {

using testing::floats_of;

struct Reference {
    std::vector<double> w, m, v;
    void step(const std::vector<double>& g, const std::vector<bool>& decays, double lr,
              const OptimizerConfig& c, int t) {
        for (size_t i = 0; i < w.size(); ++i) {
            m[i] = c.beta1 * m[i] + (1 - c.beta1) * g[i];
            v[i] = c.beta2 * v[i] + (1 - c.beta2) * g[i] * g[i];
            const double mh = m[i] / (1 - std::pow(c.beta1, t));
            const double vh = v[i] / (1 - std::pow(c.beta2, t));
            const double decay = decays[i] ? c.weight_decay : 0;
            w[i] -= lr * (mh / (std::sqrt(vh) + c.eps) + decay * w[i]);
        }
    }
};

class OptimizerTest : public ::testing::TestWithParam<DType> {};

TEST_P(OptimizerTest, IsAdamW) {
    ModelConfig mc = testing::small_config("run").model;
    mc.bias = true;
    mc.norm_type = "layernorm"; // vectors, which do not decay
    const Model model(mc);
    const ParamTable& table = model.params();
    const auto n = static_cast<size_t>(table.flat_size());
    const auto device = make_cpu_device(2);
    OwnedTensor weights(*device, GetParam(), {table.flat_size()});
    OptimizerConfig config;
    config.weight_decay = 0.3;
    Optimizer optimizer(config, table, *device, weights);

    std::vector<float> first(n);
    initialize(table, mc, 3, first.data());
    optimizer.set_master(first.data());
    Reference reference{
        {first.begin(), first.end()}, std::vector<double>(n), std::vector<double>(n)};
    std::vector<bool> decays(n), used(n);
    int64_t matrices = 0, vectors = 0;
    for (const Param& p : table.all()) {
        (p.shape.size() == 2 ? matrices : vectors) += 1;
        for (int64_t i = p.offset; i < p.offset + p.size; ++i) {
            decays[static_cast<size_t>(i)] = p.shape.size() == 2;
            used[static_cast<size_t>(i)] = true;
        }
    }
    ASSERT_GT(matrices, 0);
    ASSERT_GT(vectors, 0);

    OwnedTensor gradients(*device, DType::f32, {table.flat_size()});
    const double scale = 0.25;
    for (int t = 1; t <= 20; ++t) {
        std::vector<double> g(n);
        for (size_t i = 0; i < n; ++i) {
            auto& one = gradients.as<float>()[i];
            one = used[i] ? static_cast<float>(Philox{9, static_cast<uint64_t>(t)}.normal(i)) : 0;
            g[i] = scale * static_cast<double>(one);
        }
        const double lr = 1e-2 / t;
        optimizer.step(gradients, lr, scale);
        reference.step(g, decays, lr, config, t);
    }
    EXPECT_EQ(optimizer.updates(), 20);
    const auto w = floats_of(*device, optimizer.master()), m = floats_of(*device, optimizer.m()),
               v = floats_of(*device, optimizer.v());
    for (size_t i = 0; i < n; ++i) {
        ASSERT_NEAR(w[i], reference.w[i], 20 * 0x1p-24 * (1 + std::abs(w[i]))) << i; // 20 roundings
        ASSERT_NEAR(m[i], reference.m[i], 1e-6) << i;
        ASSERT_NEAR(v[i], reference.v[i], 1e-6 * (reference.v[i] + 1e-3)) << i;
        if (GetParam() != DType::bf16) continue;
        ASSERT_EQ(weights.as<bf16>()[i].bits, bf16(w[i]).bits) << i; // the rounded copy
    }
}

INSTANTIATE_TEST_SUITE_P(Types, OptimizerTest, ::testing::Values(DType::f32, DType::bf16),
                         [](const auto& i) { return std::string(name_of(i.param)); });

TEST(DecayRanges, CoverEverythingOnceInOrder) {
    ModelConfig mc = testing::small_config("run").model;
    mc.bias = true;
    const Model model(mc);
    const auto ranges = decay_ranges(model.params());
    int64_t at = 0;
    for (size_t i = 0; i < ranges.size(); ++i) {
        EXPECT_EQ(ranges[i].begin, at);
        EXPECT_LT(ranges[i].begin, ranges[i].end);
        EXPECT_TRUE(i == 0 || ranges[i].decay != ranges[i - 1].decay);
        at = ranges[i].end;
    }
    EXPECT_EQ(at, model.params().flat_size());
}

TEST(ClipScale, BringsLargeNormsDownToTheLimit) {
    const Model model(testing::small_config("run").model);
    const auto device = make_cpu_device(1);
    OwnedTensor weights(*device, DType::f32, {model.params().flat_size()});
    OptimizerConfig config;
    config.clip = 2;
    EXPECT_DOUBLE_EQ(Optimizer(config, model.params(), *device, weights).clip_scale(8), 0.25);
    EXPECT_DOUBLE_EQ(Optimizer(config, model.params(), *device, weights).clip_scale(2), 1);
    config.clip = 0;
    EXPECT_DOUBLE_EQ(Optimizer(config, model.params(), *device, weights).clip_scale(1e9), 1);
}

} // namespace
} // namespace tnl
