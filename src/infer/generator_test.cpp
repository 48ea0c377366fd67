#include "infer/generator.h"

#include "infer/testbed.h"
#include "model/testbed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace tnl {
namespace {

using testing::ModelBed;
using testing::random_tokens;
using testing::small_config;

std::vector<GenerateRequest> ragged_requests(const SamplerOptions& sampler) {
    std::vector<GenerateRequest> out;
    for (const int64_t n : {5, 1, 90, 33, 64, 2, 128, 17}) {
        GenerateRequest r;
        r.prompt = random_tokens(n, static_cast<uint64_t>(n) + 40);
        r.max_new_tokens = 10 + 7 * static_cast<int64_t>(out.size() % 4);
        r.sampler = sampler;
        r.id = out.size();
        out.push_back(r);
    }
    return out;
}

SamplerOptions greedy() {
    SamplerOptions o;
    o.temperature = 0;
    return o;
}

SamplerOptions sampled() {
    SamplerOptions o;
    o.temperature = 0.9;
    o.top_k = 40;
    o.top_p = 0.95;
    o.repetition_penalty = 1.1;
    o.seed = 11;
    return o;
}

// The batch, with fewer slots than requests, against each request alone, token for token.
TEST(Generate, DoesNotDependOnNeighbours) {
    ModelBed bed(small_config(), DType::f32, cpu_kernels(), 2);
    for (const SamplerOptions& sampler : {greedy(), sampled()}) {
        const auto requests = ragged_requests(sampler);
        for (const int64_t slots : {8, 3}) {
            Session session(bed.model, *bed.device, bed.weights, {DType::f32, slots, 64});
            const auto together = generate(session, requests);
            ASSERT_EQ(together.size(), requests.size());
            for (size_t i = 0; i < requests.size(); ++i) {
                Session one(bed.model, *bed.device, bed.weights, {DType::f32, 1, 64});
                const auto alone = generate(one, std::span(requests).subspan(i, 1));
                EXPECT_EQ(together[i].tokens, alone[0].tokens) << i << " of " << slots;
                EXPECT_EQ(std::ssize(alone[0].tokens), requests[i].max_new_tokens);
                EXPECT_EQ(together[i].finish, Finish::length);
            }
        }
    }
}

// Greedy tokens are the argmax of the plain forward over all that came before.
TEST(Generate, GreedyIsTheArgmaxOfTheForward) {
    ModelBed bed(small_config(), DType::f32, cpu_kernels());
    GenerateRequest r;
    r.prompt = random_tokens(20, 9);
    r.max_new_tokens = 30;
    r.sampler = greedy();
    Session session(bed.model, *bed.device, bed.weights, {DType::f32, 1, 8});
    const auto got = generate(session, std::span(&r, 1))[0].tokens;
    std::vector<int32_t> all = r.prompt;
    for (int i = 0; i < 30; ++i) {
        testing::HostBatch batch;
        batch.ids = all;
        for (size_t t = 0; t < all.size(); ++t) batch.positions.push_back(static_cast<int32_t>(t));
        const auto logits = bed.logits(batch);
        const auto last = logits.end() - 61;
        all.push_back(static_cast<int32_t>(std::max_element(last, logits.end()) - last));
    }
    EXPECT_EQ(got, std::vector<int32_t>(all.begin() + 20, all.end()));
}

TEST(Generate, EndTokensAndCallbacksEndTheText) {
    ModelBed bed(small_config(), DType::f32, cpu_kernels());
    auto requests = ragged_requests(greedy());
    Session session(bed.model, *bed.device, bed.weights, {DType::f32, 8, 64});
    const auto free_run = generate(session, requests);
    // What each would have said sixth ends it; what it said third is where the callback stops.
    for (size_t i = 0; i < requests.size(); ++i) requests[i].end_tokens = {free_run[i].tokens[5]};
    std::vector<std::vector<int32_t>> heard(requests.size());
    GenerateTimes times;
    const auto got = generate(
        session, requests,
        [&](size_t request, int32_t token) {
            heard[request].push_back(token);
            return request % 2 == 0 || heard[request].size() < 3;
        },
        &times);
    int64_t new_tokens = 0, prompt_tokens = 0;
    for (size_t i = 0; i < requests.size(); ++i) {
        const auto& whole = free_run[i].tokens;
        const auto end = std::find(whole.begin(), whole.end(), whole[5]);
        std::vector<int32_t> want(whole.begin(), end);
        const bool stops = i % 2 == 1 && want.size() >= 3;
        if (stops) want.resize(3);
        EXPECT_EQ(got[i].tokens, want) << i;
        EXPECT_EQ(heard[i], want) << i;
        EXPECT_EQ(got[i].finish, stops ? Finish::stopped : Finish::end_token) << i;
        new_tokens += std::ssize(want) + !stops;
        prompt_tokens += std::ssize(requests[i].prompt);
    }
    EXPECT_EQ(times.new_tokens, new_tokens);
    EXPECT_EQ(times.prompt_tokens, prompt_tokens);
    EXPECT_EQ(times.decode_tokens, new_tokens - std::ssize(requests));
}

TEST(Generate, NothingToMake) {
    ModelBed bed(small_config(), DType::f32, cpu_kernels());
    Session session(bed.model, *bed.device, bed.weights, {DType::f32, 2, 64});
    EXPECT_TRUE(generate(session, {}).empty());
    auto requests = ragged_requests(greedy());
    for (auto& r : requests) r.max_new_tokens = 0;
    for (const auto& g : generate(session, requests)) EXPECT_TRUE(g.tokens.empty());
    requests[0].prompt.clear();
    EXPECT_THROW(generate(session, requests), Error);
}

TEST(Generate, BrokenWeightsAreAnError) {
    ModelBed bed(small_config(), DType::f32, cpu_kernels());
    bed.weights.as<float>()[100] = std::numeric_limits<float>::quiet_NaN();
    bed.weights.as<float>()[bed.model.params()[3].offset] = std::numeric_limits<float>::quiet_NaN();
    Session session(bed.model, *bed.device, bed.weights, {DType::f32, 1, 64});
    const auto requests = ragged_requests(sampled());
    EXPECT_THROW(generate(session, requests), Error);
}

} // namespace
} // namespace tnl
