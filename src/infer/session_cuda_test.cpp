// Sessions on a GPU: recorded steps against steps given call by call, and both against the CPU.
#include "infer/session.h"

#include "base/rng.h"
#include "infer/sampler.h"
#include "ops/cuda_testbed.h"

namespace tnl::testing {
namespace {

ModelConfig config_of(bool low_rank_gate) {
    ModelConfig c;
    c.vocab_size = 331;
    c.decoder_embed_dim = c.hidden_dim = 128;
    c.decoder_layers = 3;
    c.decoder_attention_heads = 2;
    c.glu_dim = 352;
    c.gate_dim = low_rank_gate ? 16 : 0;
    c.init_std = 0.15;
    return c;
}

OwnedTensor weights_of(const Model& model, Device& device, const Kernels& kernels, DType dtype) {
    const int64_t n = model.params().flat_size();
    std::vector<float> flat(static_cast<size_t>(n));
    initialize(model.params(), model.config(), 5, flat.data());
    const OwnedTensor wide(device, DType::f32, {n});
    OwnedTensor out(device, dtype, {n});
    device.upload(wide.data, flat.data(), flat.size() * sizeof(float));
    kernels.cast(device.stream(), out, wide);
    device.synchronize();
    return out;
}

std::vector<int32_t> tokens_of(int64_t n, uint64_t seed) {
    std::vector<int32_t> out;
    for (int64_t i = 0; i < n; ++i)
        out.push_back(static_cast<int32_t>(Philox{seed, 3}.below(static_cast<uint64_t>(i), 331)));
    return out;
}

// Both sessions see the same: prompts, steps of several batch sizes, slots that move and are
// emptied.
class TwoSessions {
  public:
    TwoSessions(const Model& model, DType dtype, const Kernels& direct)
        : weights_(weights_of(model, *gpu(), *cuda_kernels(), dtype)),
          recorded(model, *gpu(), weights_, {dtype, 9, 32}),
          plain(model, *gpu(), weights_, {dtype, 9, 32, &direct}) {
        prefill(0, 9);
    }
    void prefill(int64_t first, int64_t count) {
        std::vector<std::vector<int32_t>> texts;
        for (int64_t i = 0; i < count; ++i)
            texts.push_back(tokens_of(3 + 11 * i, static_cast<uint64_t>(7 + i)));
        const std::vector<std::span<const int32_t>> views(texts.begin(), texts.end());
        for (Session* s : {&recorded, &plain}) s->prefill(first, views);
    }

  private:
    OwnedTensor weights_;

  public:
    Session recorded, plain;
};

void expect_equal_logits(const TwoSessions& two, int64_t B, const std::string& where) {
    for (int64_t i = 0; i < B; ++i) {
        const auto a = two.recorded.logits(i), b = two.plain.logits(i);
        ASSERT_TRUE(std::ranges::equal(a, b)) << where << ", slot " << i;
        ASSERT_FALSE(std::isnan(a.front())) << where;
    }
}

TEST(CudaSession, RecordedStepsAreTheSteps) {
    TNL_NEEDS_GPU();
    const Kernels direct = *cuda_kernels(); // a table of its own is not recorded
    for (const bool low_rank : {false, true})
        for (const DType dtype : {DType::bf16, DType::f32}) {
            const Model model(config_of(low_rank));
            TwoSessions two(model, dtype, direct);
            int at = 0;
            const auto steps = [&](int64_t B, int count) {
                for (int i = 0; i < count; ++i, ++at) {
                    const std::string where = fmt::format("{} low rank {} batch {} step {}",
                                                          name_of(dtype), low_rank, B, at);
                    const auto next = tokens_of(B, static_cast<uint64_t>(100 + at));
                    two.recorded.decode(next);
                    two.plain.decode(next);
                    expect_equal_logits(two, B, where);
                }
            };
            steps(4, 20);
            for (Session* s : {&two.recorded, &two.plain}) {
                s->move(1, 3);
                s->reset(0, 1);
            }
            steps(3, 4);
            steps(4, 3);
            steps(1, 5);
            steps(9, 4);
            two.prefill(2, 3);
            steps(8, 5);
            steps(4, 5);
        }
}

TEST(CudaSession, GreedyStepsAreTheSteps) {
    TNL_NEEDS_GPU();
    const Kernels direct = *cuda_kernels();
    SamplerOptions greedy;
    greedy.temperature = 0;
    for (const DType dtype : {DType::bf16, DType::f32}) {
        const Model model(config_of(false));
        TwoSessions two(model, dtype, direct);
        for (const int64_t B : {1, 3, 8}) {
            std::vector<int32_t> next = tokens_of(B, 4);
            for (int i = 0; i < 20; ++i) {
                const auto chosen = two.recorded.decode_greedily(next);
                two.plain.decode(next);
                for (int64_t b = 0; b < B; ++b) {
                    const auto slot = static_cast<size_t>(b);
                    next[slot] = sample_token(two.plain.logits(b), greedy, {}, 0, 0);
                    ASSERT_EQ(chosen[slot], next[slot]) << B << " " << i << " " << b;
                }
                two.recorded.fetch_logits(0);
                ASSERT_TRUE(std::ranges::equal(two.recorded.logits(0), two.plain.logits(0)));
            }
        }
    }
}

// Products of few rows with what stands around them, against the CPU. Three layers of
// sums in another order, in f32.
TEST(CudaSession, StepsAreTheCpus) {
    TNL_NEEDS_GPU();
    for (const bool low_rank : {false, true})
        for (const int64_t B : {1, 2, 7, 8}) {
            const Model model(config_of(low_rank));
            const OwnedTensor here = weights_of(model, cpu(), cpu_kernels(), DType::f32),
                              there = weights_of(model, *gpu(), *cuda_kernels(), DType::f32);
            Session want(model, cpu(), here, {DType::f32, B, 32}),
                got(model, *gpu(), there, {DType::f32, B, 32});
            for (int step = 0; step < 12; ++step) {
                const auto next = tokens_of(B, static_cast<uint64_t>(step));
                want.decode(next);
                got.decode(next);
                for (int64_t b = 0; b < B; ++b) {
                    const auto x = got.logits(b), y = want.logits(b);
                    ASSERT_LT(relative_error({x.begin(), x.end()}, {y.begin(), y.end()}), 5e-5)
                        << low_rank << " " << B << " " << step;
                }
            }
        }
}

} // namespace
} // namespace tnl::testing
