#include "ops/sample/sample_testbed.h"
#include "ops/testbed.h"

#include <algorithm>

namespace tnl::testing {
namespace {

std::vector<int32_t> tokens_of(const std::vector<TokenWeight>& weights) {
    std::vector<int32_t> out;
    for (const TokenWeight& w : weights) out.push_back(w.token);
    return out;
}

TEST(Sample, OrderIsThatOfTheNumbers) {
    const float inf = std::numeric_limits<float>::infinity();
    const std::vector<float> rising{-inf, -3e38f, -2, -1e-40f, 0, 1e-40f, 1, 3e38f, inf};
    for (size_t i = 1; i < rising.size(); ++i)
        EXPECT_LT(order_of(rising[i - 1]), order_of(rising[i])) << rising[i];
    EXPECT_EQ(order_of(0.0f), order_of(-0.0f));
    EXPECT_EQ(order_of(-std::numeric_limits<float>::max()), kLeastOrder);
}

TEST(Sample, WeightsAreProbabilities) {
    const std::vector<float> logits{0, -1, -2, -40};
    const auto weights = token_weights(logits, {}, {});
    EXPECT_EQ(tokens_of(weights), (std::vector<int32_t>{0, 1, 2})); // e^-40 is below 2^-45
    EXPECT_EQ(weights[0].weight, kTopWeight);
    for (const TokenWeight& w : weights)
        EXPECT_NEAR(static_cast<double>(w.weight) / static_cast<double>(kTopWeight),
                    std::exp(-static_cast<double>(w.token)), 1e-13);
}

TEST(Sample, EveryTokenIsDrawnAsOftenAsItsWeightSays) {
    const std::vector<TokenWeight> weights{{3, 1}, {5, 2}, {9, 5}};
    std::map<int32_t, int> drawn;
    for (int i = 0; i < 800; ++i) ++drawn[draw_token(weights, i / 800.0)];
    EXPECT_EQ(drawn, (std::map<int32_t, int>{{3, 100}, {5, 200}, {9, 500}}));
    EXPECT_EQ(draw_token({}, 0.5), -1);
}

TEST(Sample, RowsDoNotDependOnEachOther) {
    const SampleRows rows(60, 97, 1);
    CpuBed bed;
    std::vector<float> after;
    const auto all = rows.choose(*bed.device, cpu_oracle_kernels(), &after);
    EXPECT_EQ(after, rows.logits);
    EXPECT_GT(std::ranges::count_if(all, [](int32_t token) { return token >= 0; }), 50);
    for (size_t n = 0; n < all.size(); ++n) {
        const TokenChoice& c = rows.choices[n];
        const auto weights =
            token_weights({rows.logits.data() + n * 97, 97}, c,
                          {rows.changes.data() + c.first_change, static_cast<size_t>(c.changes)});
        EXPECT_EQ(all[n], c.skip != 0 ? -1 : draw_token(weights, c.uniform)) << n;
    }
}

TEST(Sample, MisfitsAreNamed) {
    CpuBed bed;
    const OwnedTensor x = bed.zeros(DType::f32, {2, 3}), ids(*bed.device, DType::i32, {2}),
                      choices(*bed.device, DType::u8, {2 * sizeof(TokenChoice)}),
                      changes(*bed.device, DType::u8, {0}), odd(*bed.device, DType::u8, {7});
    const auto sample = cpu_kernels().sample;
    EXPECT_THROW(sample(bed.stream(), x, x, choices, changes), Error);
    EXPECT_THROW(sample(bed.stream(), ids, bed.zeros(DType::f64, {2, 3}), choices, changes), Error);
    EXPECT_THROW(sample(bed.stream(), ids, x, odd, changes), Error);
    EXPECT_THROW(sample(bed.stream(), ids, x, choices, odd), Error);
}

} // namespace
} // namespace tnl::testing
