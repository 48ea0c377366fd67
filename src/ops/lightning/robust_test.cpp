// Ten million decoded tokens (TransNormerLLM, arXiv 2307.14995, section 3.4 "Robust inference"):
// the recurrence in f32 stays finite and near the one in f64, for the fastest and slowest decay
// rates of the released models, where the form that the paper starts from overflows.
#include "ops/lightning/lightning_cpu.h"
#include "ops/testbed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tnl {
namespace {

#if defined(__clang__) // the compiler of the sanitizers, which find nothing more in more of them
constexpr int64_t kTokens = 200'000;
#else
constexpr int64_t kTokens = 10'000'000;
#endif
constexpr int64_t kWidth = 4;

// 385M: the fastest and the slowest decay of the first layer, then of the last: s_h (1 - l/(L-1) +
// 1e-5) with s_h = 2^-1 .. 2^-8.
constexpr double kSlopes[] = {0.500005, 0.00390629, 5e-6, 3.90625e-8};
constexpr int64_t kRates = std::size(kSlopes);
// Each rate twice: with operands of mean zero, and with a mean that makes the state grow as far as
// the decay lets it.
constexpr int64_t kHeads = 2 * kRates;
constexpr float kMeans[] = {0, 0.25f};

// Rounding to nearest has a bias where what is added is of the size of the last place and not
// smooth. It shows where the state grows for millions of tokens, at a rate below f32's resolution.
double tolerance(int64_t head) {
    return head >= kRates && kSlopes[head % kRates] < 0x1p-24 ? 2e-3 : 1e-4;
}

// Numbers in [-0.5, 0.5), by a small generator (xorshift64*): a billion are drawn.
class Numbers {
  public:
    float operator()() {
        bits_ ^= bits_ >> 12;
        bits_ ^= bits_ << 25;
        bits_ ^= bits_ >> 27;
        return static_cast<float>((bits_ * 0x2545F4914F6CDD1DULL) >> 40) * 0x1p-24f - 0.5f;
    }

  private:
    uint64_t bits_ = 88172645463325252ULL;
};

TEST(RobustInference, TenMillionTokensAgreeWithF64) {
    const auto device = make_cpu_device(1);
    const auto zeros = [&](std::initializer_list<int64_t> dims) {
        OwnedTensor t(*device, DType::f32, dims);
        device->zero(t.data, static_cast<size_t>(t.bytes()));
        return t;
    };
    const auto token = [&] { return zeros({1, 1, kHeads, kWidth}); };
    const OwnedTensor q = token(), k = token(), v = token(), o = token(), slopes = zeros({kHeads}),
                      state = zeros({1, kHeads, kWidth, kWidth});
    Numbers draw;
    double lambda[kHeads];
    for (int64_t h = 0; h < kHeads; ++h) {
        slopes.as<float>()[h] = static_cast<float>(kSlopes[h % kRates]);
        lambda[h] = std::exp(-static_cast<double>(slopes.as<float>()[h]));
    }
    double exact[kHeads][kWidth][kWidth] = {}, worst[kHeads] = {}, largest[kHeads] = {};
    for (int64_t t = 0; t < kTokens; ++t) {
        for (const OwnedTensor* x : {&q, &k, &v})
            for (int64_t i = 0; i < kHeads * kWidth; ++i)
                x->as<float>()[i] = draw() + kMeans[i / (kRates * kWidth)];
        lightning_forward_cpu(device->stream(), {.o = o,
                                                 .state_out = state,
                                                 .q = q,
                                                 .k = k,
                                                 .v = v,
                                                 .slopes = slopes,
                                                 .state_in = state,
                                                 .cu_seqlens = {},
                                                 .scale = 1,
                                                 .workspace = {}});
        for (int64_t h = 0; h < kHeads; ++h) {
            const int64_t at = h * kWidth;
            const float *qs = q.as<float>() + at, *ks = k.as<float>() + at,
                        *vs = v.as<float>() + at;
            for (int64_t e = 0; e < kWidth; ++e) {
                double want = 0;
                for (int64_t d = 0; d < kWidth; ++d) {
                    double& s = exact[h][d][e];
                    s = lambda[h] * s + static_cast<double>(ks[d]) * vs[e];
                    want += qs[d] * s;
                }
                const double got = o.as<float>()[at + e];
                ASSERT_TRUE(std::isfinite(got)) << "token " << t;
                largest[h] = std::max(largest[h], std::abs(want));
                worst[h] = std::max(worst[h], std::abs(got - want));
            }
        }
    }
    for (int64_t h = 0; h < kHeads; ++h) {
        EXPECT_LE(worst[h], tolerance(h) * largest[h])
            << "rate " << kSlopes[h % kRates] << ", mean " << kMeans[h / kRates];
        RecordProperty("error_of_head_" + std::to_string(h), std::to_string(worst[h] / largest[h]));
    }
}

// o_t = (q_t lambda^t) sum_s (k_s lambda^-s) v_s: equal on paper. The sum overflows f32 once
// lambda^-s does, after 88 / rate tokens, and the product with lambda^t = 0 is NaN.
TEST(RobustInference, TheNaiveFormOverflows) {
    for (const double rate : {kSlopes[0], kSlopes[1]}) {
        const double overflow = std::log(std::numeric_limits<float>::max()) / rate;
        float sum = 0, output = 0;
        int64_t t = 0;
        for (; t < kTokens && std::isfinite(output); ++t) {
            sum += std::exp(static_cast<float>(rate * static_cast<double>(t))) * 0.75f;
            output = std::exp(static_cast<float>(-rate * static_cast<double>(t))) * sum;
        }
        EXPECT_LE(static_cast<double>(t), overflow + 2) << "rate " << rate;
    }
}

} // namespace
} // namespace tnl
