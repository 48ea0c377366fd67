#include "infer/session.h"

#include "infer/generator.h"
#include "infer/testbed.h"
#include "model/testbed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace tnl {
namespace {

using ::testing::HasSubstr;
using testing::HostBatch;
using testing::ModelBed;
using testing::random_tokens;

ModelConfig session_config(bool low_rank_gate) {
    ModelConfig c;
    c.vocab_size = 61;
    c.decoder_embed_dim = c.hidden_dim = 24;
    c.decoder_layers = 3;
    c.decoder_attention_heads = 3;
    c.glu_dim = 40;
    c.gate_dim = low_rank_gate ? 5 : 0;
    c.init_std = 0.15;
    return c;
}

HostBatch as_batch(const std::vector<int32_t>& tokens) {
    HostBatch b;
    b.ids = tokens;
    for (size_t i = 0; i < tokens.size(); ++i) b.positions.push_back(static_cast<int32_t>(i));
    return b;
}

void prefill(Session& session, int64_t first, const std::vector<std::vector<int32_t>>& texts) {
    std::vector<std::span<const int32_t>> views(texts.begin(), texts.end());
    session.prefill(first, views);
}

// The largest difference over the largest magnitude.
double distance(std::span<const float> got, std::span<const double> want) {
    EXPECT_EQ(got.size(), want.size());
    double error = 0, size = 1e-30;
    for (size_t i = 0; i < want.size(); ++i) {
        error = std::max(error, std::abs(static_cast<double>(got[i]) - want[i]));
        size = std::max(size, std::abs(want[i]));
    }
    return error / size;
}

double state_distance(const Session& a, int64_t slot_a, const Session& b, int64_t slot_b) {
    double error = 0, size = 1e-30;
    for (size_t l = 0; l < a.states().layers.size(); ++l) {
        const auto x = ModelBed::values(a.states().layers[l].slice(0, slot_a, slot_a + 1));
        const auto y = ModelBed::values(b.states().layers[l].slice(0, slot_b, slot_b + 1));
        for (size_t i = 0; i < x.size(); ++i) {
            error = std::max(error, std::abs(x[i] - y[i]));
            size = std::max(size, std::abs(x[i]));
        }
    }
    return error / size;
}

class SessionOfVariant : public ::testing::TestWithParam<bool> {
  protected:
    ModelBed bed(DType dtype) {
        return ModelBed(session_config(GetParam()), dtype, cpu_kernels(), 2);
    }
};
INSTANTIATE_TEST_SUITE_P(Variants, SessionOfVariant, ::testing::Values(false, true),
                         [](const auto& variant) { return variant.param ? "tnl3" : "tnl1"; });

// Prefill, decode and the training forward are one function.
TEST_P(SessionOfVariant, PrefillAndDecodeAreTheTrainingForward) {
    for (const DType dtype : {DType::f64, DType::f32}) {
        // f64 logits are read as f32: half a unit in the last place. In f32 two orders of the same
        // sums, of three layers, are compared: some tens of units.
        const double tolerance = dtype == DType::f64 ? 6e-8 : 4e-6;
        ModelBed b = bed(dtype);
        const auto tokens = random_tokens(150, 1);
        HostBatch batch = as_batch(tokens);
        const std::vector<double> want = b.logits(batch);
        const auto row = [&](size_t t) { return std::span(want).subspan(t * 61, 61); };
        Session session(b.model, *b.device, b.weights, {dtype, 1, 32});
        prefill(session, 0, {{tokens.begin(), tokens.begin() + 100}});
        EXPECT_LT(distance(session.logits(0), row(99)), tolerance);
        for (size_t t = 100; t < 150; ++t) {
            session.decode(std::span(tokens).subspan(t, 1));
            ASSERT_LT(distance(session.logits(0), row(t)), tolerance) << t;
        }
        EXPECT_EQ(session.length(0), 150);
    }
}

TEST_P(SessionOfVariant, DecodeFromNothingIsTheTrainingForward) {
    ModelBed b = bed(DType::f64);
    const auto tokens = random_tokens(70, 2);
    HostBatch batch = as_batch(tokens);
    const std::vector<double> want = b.logits(batch);
    Session session(b.model, *b.device, b.weights, {DType::f64, 1, 1});
    for (size_t t = 0; t < tokens.size(); ++t) {
        session.decode(std::span(tokens).subspan(t, 1));
        ASSERT_LT(distance(session.logits(0), std::span(want).subspan(t * 61, 61)), 6e-8) << t;
    }
}

TEST_P(SessionOfVariant, ChunkedPrefillIsTheWhole) {
    for (const auto& [dtype, tolerance] : {std::pair(DType::f64, 1e-13), {DType::f32, 1e-5}}) {
        ModelBed b = bed(dtype);
        const auto tokens = random_tokens(333, 3);
        Session whole(b.model, *b.device, b.weights, {dtype, 1, 333});
        prefill(whole, 0, {tokens});
        for (const int64_t chunk : {1, 5, 63, 64, 65, 128, 332, 1000}) {
            Session parts(b.model, *b.device, b.weights, {dtype, 1, chunk});
            prefill(parts, 0, {tokens});
            EXPECT_LT(state_distance(whole, 0, parts, 0), tolerance) << chunk;
            const std::vector<double> want(whole.logits(0).begin(), whole.logits(0).end());
            EXPECT_LT(distance(parts.logits(0), want), 1e-5) << chunk;
        }
    }
}

TEST_P(SessionOfVariant, RaggedPromptsAreEachAlone) {
    ModelBed b = bed(DType::f64);
    std::vector<std::vector<int32_t>> texts;
    for (const int64_t n : {7, 1, 64, 65, 130, 2, 20})
        texts.push_back(random_tokens(n, static_cast<uint64_t>(n)));
    const auto count = static_cast<int64_t>(texts.size());
    Session batch(b.model, *b.device, b.weights, {DType::f64, count, 64});
    prefill(batch, 0, texts);
    for (int64_t i = 0; i < count; ++i) {
        Session alone(b.model, *b.device, b.weights, {DType::f64, 1, 64});
        prefill(alone, 0, {texts[static_cast<size_t>(i)]});
        EXPECT_LT(state_distance(alone, 0, batch, i), 1e-13) << i;
        const std::vector<double> want(alone.logits(0).begin(), alone.logits(0).end());
        EXPECT_LT(distance(batch.logits(i), want), 1e-6) << i;
        EXPECT_EQ(batch.length(i), alone.length(0));
    }
}

TEST_P(SessionOfVariant, MoveAndResetAreAboutOneSlot) {
    ModelBed b = bed(DType::f64);
    const auto first = random_tokens(40, 4), second = random_tokens(50, 5);
    Session s(b.model, *b.device, b.weights, {DType::f64, 3, 16});
    Session alone(b.model, *b.device, b.weights, {DType::f64, 1, 16});
    prefill(s, 0, {first, second});
    s.move(2, 1);
    s.reset(1, 1);
    EXPECT_EQ(s.length(1), 0);
    prefill(alone, 0, {first});
    EXPECT_LT(state_distance(alone, 0, s, 0), 1e-13);
    alone.reset(0, 1);
    EXPECT_EQ(state_distance(alone, 0, s, 1), 0);
    prefill(alone, 0, {second});
    EXPECT_LT(state_distance(alone, 0, s, 2), 1e-13);
    EXPECT_EQ(s.length(2), 50);
}

// With few_rows, for which no CPU gains, in place of the calls that it stands for.
TEST_P(SessionOfVariant, StepsOfFewRowsAreTheSteps) {
    for (const DType dtype : {DType::f64, DType::f32, DType::bf16}) {
        ModelBed b(session_config(GetParam()), dtype, cpu_oracle_kernels(), 2);
        Kernels few = cpu_oracle_kernels();
        few.few_rows_pays = [](int64_t M, int64_t, DType) { return M <= kFewRows; };
        Session fused(b.model, *b.device, b.weights, {dtype, 3, 16, &few}),
            plain(b.model, *b.device, b.weights, {dtype, 3, 16, &cpu_oracle_kernels()});
        for (Session* s : {&fused, &plain})
            prefill(*s, 0, {random_tokens(3, 1), random_tokens(40, 2), random_tokens(9, 3)});
        for (uint64_t i = 0; i < 20; ++i) {
            const auto next = random_tokens(3, 50 + i);
            fused.decode(next);
            plain.decode(next);
            for (int64_t row = 0; row < 3; ++row)
                ASSERT_TRUE(std::ranges::equal(fused.logits(row), plain.logits(row)))
                    << name_of(dtype) << " step " << i << " row " << row;
        }
    }
}

TEST_P(SessionOfVariant, GreedyStepsAreTheSteps) {
    ModelBed b = bed(DType::f32);
    SamplerOptions greedy;
    greedy.temperature = 0;
    Session quick(b.model, *b.device, b.weights, {DType::f32, 3, 16}),
        plain(b.model, *b.device, b.weights, {DType::f32, 3, 16});
    for (Session* s : {&quick, &plain}) prefill(*s, 0, {random_tokens(3, 1), random_tokens(40, 2)});
    for (const size_t B : {2u, 3u, 1u, 2u}) { // the later steps of a size are replayed
        std::vector<int32_t> next(B, 5);
        for (int i = 0; i < 6; ++i) {
            const auto chosen = quick.decode_greedily(next);
            plain.decode(next);
            for (size_t row = 0; row < B; ++row) {
                const auto logits = plain.logits(static_cast<int64_t>(row));
                next[row] = sample_token(logits, greedy, {}, 0, 0);
                ASSERT_EQ(chosen[row], next[row]) << B << " " << i;
                ASSERT_TRUE(
                    std::ranges::equal(quick.fetch_logits(static_cast<int64_t>(row)), logits));
            }
        }
        for (Session* s : {&quick, &plain}) s->move(0, 1);
    }
    EXPECT_EQ(quick.length(0), plain.length(0));
}

// A device that draws tokens itself writes what one does that hands out its logits.
TEST(Session, TokensDrawnByTheDeviceAreThoseDrawnFromItsLogits) {
    ModelBed b(session_config(true), DType::f32, cpu_kernels());
    std::vector<GenerateRequest> requests(6);
    for (size_t i = 0; i < requests.size(); ++i) {
        GenerateRequest& r = requests[i];
        r.prompt = random_tokens(5 + static_cast<int64_t>(i), i);
        r.max_new_tokens = 20 + static_cast<int64_t>(i);
        r.id = i;
        r.sampler.seed = 4;
        r.sampler.temperature = i == 1 ? 0 : 1.5; // the second is plainly greedy
        if (i == 2) r.sampler.top_p = 0.6;
        if (i == 3) r.sampler.top_k = 7;
        if (i == 4) {
            r.sampler.repetition_penalty = 1.4;
            r.sampler.presence_penalty = 0.3;
            r.sampler.frequency_penalty = 0.2;
            r.sampler.logit_bias = {{3, 2.0f}, {3, 1.0f}, {4, -100.0f}};
        }
        if (i == 5) r.sampler.min_p = 0.2;
    }
    std::vector<std::vector<std::vector<int32_t>>> written;
    for (const bool samples : {false, true}) {
        Session::Options options{DType::f32, 4, 16};
        options.samples = samples;
        Session session(b.model, *b.device, b.weights, options);
        EXPECT_EQ(session.samples(), samples);
        auto& of = written.emplace_back();
        for (const Generated& result : generate(session, requests)) of.push_back(result.tokens);
    }
    EXPECT_EQ(written[0], written[1]);
    EXPECT_NE(written[0][0], written[0][1]);
}

TEST(Session, ChoosesNoneWhereLogitsAreNotFinite) {
    ModelBed b(session_config(false), DType::f32, cpu_kernels());
    for (int64_t i = 0; i < b.weights.size(); ++i) b.set(i, HUGE_VAL);
    Session session(b.model, *b.device, b.weights, {DType::f32, 1, 4});
    const std::vector<int32_t> next{1};
    EXPECT_EQ(session.decode_greedily(next)[0], -1);
    GenerateRequest request;
    request.prompt = {1};
    request.sampler.temperature = 0;
    EXPECT_THROW(generate(session, {&request, 1}), Error);
}

TEST(Session, TakesAStateThatWasComputedElsewhere) {
    ModelBed b(session_config(true), DType::f32, cpu_kernels());
    Session from(b.model, *b.device, b.weights, {DType::f32, 3, 16});
    Session to(b.model, *b.device, b.weights, {DType::f32, 2, 16});
    prefill(from, 0, {random_tokens(5, 1), random_tokens(9, 2), random_tokens(40, 3)});
    to.set_state(1, from.states(), 2, from.length(2));
    EXPECT_EQ(to.length(1), 40);
    EXPECT_EQ(state_distance(from, 2, to, 1), 0);
    EXPECT_THROW(to.set_state(0, States{}, 0, 1), Error);
    const std::vector<int32_t> next{7, 7, 7};
    from.decode(next);
    to.decode(std::span(next).first(2));
    const std::vector<double> wanted(from.logits(2).begin(), from.logits(2).end());
    EXPECT_LT(distance(to.logits(1), wanted), 1e-6);
}

TEST(Session, MemoryIsMeasuredAndDoesNotDependOnTheText) {
    ModelBed b(session_config(false), DType::f32, cpu_kernels());
    const Session::Options options{DType::f32, 2, 32};
    const Session::Memory memory = Session::measure(b.model, cpu_kernels(), options);
    const auto states = static_cast<size_t>(2 * b.model.config().state_bytes());
    EXPECT_GE(memory.states, states);
    EXPECT_LE(memory.states, states + 3 * 256); // alignment of each layer
    EXPECT_GT(memory.scratch, 0u);
    // The arenas throw where more is asked for than was measured.
    Session session(b.model, *b.device, b.weights, options);
    EXPECT_EQ(session.memory().total(), memory.total());
    prefill(session, 0, {random_tokens(5000, 1), random_tokens(3, 1)});
    const std::vector<int32_t> next{1, 2};
    session.decode(next);
}

TEST(Session, RefusesWhatDoesNotFit) {
    ModelConfig config = session_config(false);
    config.position_embeddings = 10;
    ModelBed b(config, DType::f32, cpu_kernels());
    Session session(b.model, *b.device, b.weights, {DType::f32, 1, 4});
    auto message = [&](auto&& f) {
        try {
            f();
        } catch (const Error& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    EXPECT_THAT(message([&] { prefill(session, 0, {{1, 61}}); }), HasSubstr("token id 61"));
    EXPECT_THAT(message([&] { prefill(session, 0, {{-1}}); }), HasSubstr("token id -1"));
    EXPECT_THAT(message([&] { prefill(session, 0, {{}}); }), HasSubstr("no tokens"));
    EXPECT_THAT(message([&] { prefill(session, 0, {random_tokens(11, 1)}); }),
                HasSubstr("positions up to 10"));
    EXPECT_THAT(message([&] { prefill(session, 1, {{1}}); }), HasSubstr("slots 1 to 2 of 1"));
    EXPECT_THAT(message([&] {
                    Session(b.model, *b.device, b.weights, {DType::bf16, 1, 4});
                }),
                HasSubstr("weights are f32"));
    EXPECT_EQ(message([&] { prefill(session, 0, {random_tokens(10, 1)}); }), "");
}

} // namespace
} // namespace tnl
