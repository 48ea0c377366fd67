// The engine against generate() of each request alone: whatever comes beside it, is cancelled, or
// is found in the cache of prefixes.
#include "infer/engine.h"
#include "infer/logprob.h"

#include "infer/testbed.h"
#include "model/testbed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <condition_variable>
#include <deque>
#include <limits>
#include <mutex>
#include <thread>

namespace tnl {
namespace {

using ::testing::HasSubstr;
using testing::ModelBed;
using testing::random_tokens;
using testing::small_config;

constexpr int64_t kChunk = 32, kVocabulary = testing::kSmallVocabulary;

EngineRequest request_of(std::vector<int32_t> prompt, int64_t new_tokens, uint64_t id) {
    EngineRequest r;
    r.generate.prompt = std::move(prompt);
    r.generate.max_new_tokens = new_tokens;
    r.generate.id = id;
    r.generate.sampler.temperature = 0.9;
    r.generate.sampler.seed = 5;
    return r;
}

// What came of a request; waits until it ended.
struct Outcome {
    std::vector<std::vector<ScoredToken>> sequences;
    std::vector<std::optional<Finish>> finishes;
    std::vector<ScoredToken> prompt;
    std::string failure;
    int64_t due = 0;
    std::mutex mutex;
    std::condition_variable changed;

    explicit Outcome(int64_t n = 1)
        : sequences(static_cast<size_t>(n)), finishes(static_cast<size_t>(n)), due(n) {}

    EngineEvents events(int64_t stop_after = std::numeric_limits<int64_t>::max()) {
        EngineEvents e;
        e.prompt = [this](std::vector<ScoredToken> scores) {
            const std::lock_guard lock(mutex);
            prompt = std::move(scores);
        };
        e.token = [this, stop_after](int64_t i, const ScoredToken& token) {
            const std::lock_guard lock(mutex);
            auto& tokens = sequences[static_cast<size_t>(i)];
            tokens.push_back(token);
            changed.notify_all();
            return static_cast<int64_t>(tokens.size()) < stop_after;
        };
        e.finish = [this](int64_t i, Finish finish) {
            const std::lock_guard lock(mutex);
            EXPECT_FALSE(finishes[static_cast<size_t>(i)].has_value());
            finishes[static_cast<size_t>(i)] = finish;
            --due;
            changed.notify_all();
        };
        e.failed = [this](const std::string& message) {
            const std::lock_guard lock(mutex);
            failure = message;
            due = 0;
            changed.notify_all();
        };
        return e;
    }
    void wait() {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return due == 0; });
    }
    void wait_for_tokens(size_t n) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return sequences[0].size() >= n; });
    }
    std::vector<int32_t> tokens(size_t sequence = 0) {
        const std::lock_guard lock(mutex);
        std::vector<int32_t> out;
        for (const ScoredToken& t : sequences[sequence]) out.push_back(t.token);
        return out;
    }
};

class EngineTest : public ::testing::Test {
  protected:
    Session session(int64_t slots, Device& device) {
        Session::Options options{DType::f32, slots, kChunk};
        options.scored_rows = 7;
        return {bed.model, device, bed.weights, options};
    }
    Session session(int64_t slots) { return session(slots, *bed.device); }
    std::vector<int32_t> alone(const EngineRequest& request, int64_t sequence = 0) {
        Session one = session(1, *other_device);
        GenerateRequest r = request.generate;
        r.id += static_cast<uint64_t>(sequence);
        return generate(one, {&r, 1})[0].tokens;
    }
    ModelBed bed{small_config(), DType::f32, cpu_kernels(), 2};
    // The engine's thread is alone on the threads of its device.
    std::unique_ptr<Device> other_device = make_cpu_device(2);
};

TEST_F(EngineTest, EveryRequestIsAsItIsAlone) {
    for (const int64_t slots : {1, 3, 16}) {
        Session s = session(slots);
        Engine engine(s, {});
        std::vector<EngineRequest> requests;
        for (const int64_t n : {5, 1, 90, 32, 33, 64, 2, 128, 17, 31, 7, 300})
            requests.push_back(request_of(random_tokens(n, static_cast<uint64_t>(n)), 3 + n % 11,
                                          static_cast<uint64_t>(n)));
        std::deque<Outcome> outcomes(requests.size());
        for (size_t i = 0; i < requests.size(); ++i) {
            engine.submit(requests[i], outcomes[i].events());
            if (i % 4 == 3) outcomes[i - 2].wait(); // the rest arrive while these run
        }
        for (size_t i = 0; i < requests.size(); ++i) {
            outcomes[i].wait();
            EXPECT_EQ(outcomes[i].tokens(), alone(requests[i])) << i << " of " << slots;
            EXPECT_EQ(outcomes[i].finishes[0], Finish::length);
        }
        engine.drain();
        const Engine::Stats stats = engine.stats();
        EXPECT_EQ(stats.requests, 12);
        EXPECT_EQ(stats.prompt_tokens, 5 + 1 + 90 + 32 + 33 + 64 + 2 + 128 + 17 + 31 + 7 + 300);
        EXPECT_EQ(stats.waiting, 0);
    }
}

TEST_F(EngineTest, SeveralSequencesOfOnePrompt) {
    Session s = session(5);
    Engine engine(s, {});
    EngineRequest four = request_of(random_tokens(70, 1), 12, 100);
    four.sequences = 4;
    const EngineRequest beside = request_of(random_tokens(40, 2), 20, 3);
    Outcome of_four(4), of_beside, again(4);
    engine.submit(beside, of_beside.events());
    engine.submit(four, of_four.events());
    engine.submit(four, again.events());
    of_four.wait();
    of_beside.wait();
    again.wait();
    for (size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(of_four.tokens(i), alone(four, static_cast<int64_t>(i))) << i;
        EXPECT_EQ(again.tokens(i), of_four.tokens(i)) << i;
    }
    EXPECT_NE(of_four.tokens(0), of_four.tokens(1));
    EXPECT_EQ(of_beside.tokens(), alone(beside));
    engine.drain(); // a sequence's end is told before its slot is free
    EXPECT_EQ(engine.stats().prompt_tokens, 70 + 70 + 40);
}

TEST_F(EngineTest, CachedPrefixesChangeNothing) {
    const auto bytes = static_cast<size_t>(bed.model.config().state_bytes());
    for (const size_t room : {size_t{0}, 2 * bytes + 4096, 100 * bytes}) {
        Session s = session(2);
        Engine engine(s, {.prefix_cache_bytes = room});
        int64_t tokens = 0;
        for (const int64_t shared : {200, 64, 33, 200, 128, 200}) {
            std::vector<int32_t> prompt = random_tokens(200, 9);
            prompt.resize(static_cast<size_t>(shared));
            prompt.push_back(static_cast<int32_t>(shared % kVocabulary));
            const EngineRequest request = request_of(prompt, 6, 1);
            Outcome outcome;
            engine.submit(request, outcome.events());
            outcome.wait();
            EXPECT_EQ(outcome.tokens(), alone(request)) << shared << " " << room;
            tokens += static_cast<int64_t>(prompt.size());
        }
        engine.drain();
        const Engine::Stats stats = engine.stats();
        EXPECT_EQ(stats.prompt_tokens + stats.cached_prompt_tokens, tokens);
        EXPECT_LE(stats.prefix_cache_bytes, room);
        if (room == 0) {
            EXPECT_EQ(stats.cached_prompt_tokens, 0);
        }
        if (room == 100 * bytes) { // kept of the first prompt: 32, 64, 128 and 192 tokens
            EXPECT_EQ(stats.cached_prompt_tokens, 64 + 32 + 192 + 128 + 192);
        }
    }
}

TEST_F(EngineTest, ACancelledRequestIsSilentAndItsSlotFree) {
    Session s = session(1);
    Engine engine(s, {});
    const EngineRequest endless = request_of(random_tokens(40, 3), 1'000'000, 1);
    const EngineRequest next = request_of(random_tokens(20, 4), 5, 2);
    Outcome of_endless, of_next, of_waiting;
    const Engine::Ticket ticket = engine.submit(endless, of_endless.events());
    const Engine::Ticket waiting = engine.submit(next, of_waiting.events());
    engine.submit(next, of_next.events());
    of_endless.wait_for_tokens(3);
    engine.cancel(waiting);
    engine.cancel(ticket);
    const size_t seen = of_endless.tokens().size();
    of_next.wait();
    EXPECT_EQ(of_next.tokens(), alone(next));
    EXPECT_EQ(of_endless.tokens().size(), seen);
    EXPECT_FALSE(of_endless.finishes[0].has_value());
    EXPECT_TRUE(of_waiting.tokens().empty());
    engine.drain();
    EXPECT_EQ(engine.stats().cancelled, 2);
    engine.cancel(ticket); // of the past
}

TEST_F(EngineTest, WhatIsHeardOfIsCounted) {
    Session s = session(2);
    Engine engine(s, {});
    int64_t running = -1; // at the first token
    EngineEvents events;
    events.token = [&](int64_t, const ScoredToken&) {
        if (running < 0) running = engine.stats().running;
        return true;
    };
    engine.submit(request_of(random_tokens(10, 5), 3, 1), std::move(events));
    engine.drain();
    EXPECT_EQ(running, 1);
}

TEST_F(EngineTest, CancelledWhileThePromptIsRead) {
    Session s = session(2);
    Engine engine(s, {});
    Outcome of_long, of_next;
    const Engine::Ticket ticket =
        engine.submit(request_of(random_tokens(200'000, 3), 10, 1), of_long.events());
    const EngineRequest next = request_of(random_tokens(50, 4), 5, 2);
    engine.submit(next, of_next.events());
    while (engine.stats().prompt_tokens < kChunk) std::this_thread::yield();
    engine.cancel(ticket);
    of_next.wait();
    EXPECT_EQ(of_next.tokens(), alone(next));
    engine.drain();
    EXPECT_LT(engine.stats().prompt_tokens, 200'000);
}

TEST_F(EngineTest, EndsAsItWasAskedTo) {
    Session s = session(2);
    Engine engine(s, {});
    EngineRequest request = request_of(random_tokens(10, 5), 20, 1);
    const std::vector<int32_t> all = alone(request);
    Outcome stopped, ended, nothing;
    engine.submit(request, stopped.events(4));
    request.generate.end_tokens = {all[6]};
    engine.submit(request, ended.events());
    request.generate.max_new_tokens = 0;
    engine.submit(request, nothing.events());
    stopped.wait();
    ended.wait();
    nothing.wait();
    EXPECT_EQ(stopped.tokens(), std::vector<int32_t>(all.begin(), all.begin() + 4));
    EXPECT_EQ(stopped.finishes[0], Finish::stopped);
    const auto first = std::ranges::find(all, all[6]);
    EXPECT_EQ(ended.tokens(), std::vector<int32_t>(all.begin(), first));
    EXPECT_EQ(ended.finishes[0], Finish::end_token);
    EXPECT_TRUE(nothing.tokens().empty());
    EXPECT_EQ(nothing.finishes[0], Finish::length);
}

TEST_F(EngineTest, LogProbabilities) {
    Session s = session(3), plain = session(1, *other_device);
    Engine engine(s, {.prefix_cache_bytes = 1 << 20});
    EngineRequest request = request_of(random_tokens(75, 6), 4, 1);
    request.logprobs = request.prompt_logprobs = true;
    request.top = 3;
    Outcome first, outcome;
    engine.submit(request, first.events());
    first.wait();
    engine.submit(request, outcome.events()); // the cache has the beginning
    outcome.wait();
    const std::vector<int32_t> made = outcome.tokens();
    ASSERT_EQ(outcome.prompt.size(), 74u);
    std::vector<ScoredToken> got = outcome.prompt;
    got.insert(got.end(), outcome.sequences[0].begin(), outcome.sequences[0].end());
    std::vector<int32_t> all = request.generate.prompt;
    all.insert(all.end(), made.begin(), made.end());
    for (size_t i = 0; i + 1 < all.size(); ++i) { // token by token
        plain.decode({&all[i], 1});
        const ScoredToken want = score_token(plain.logits(0), all[i + 1], 3);
        EXPECT_EQ(got[i].token, all[i + 1]);
        EXPECT_NEAR(got[i].logprob, want.logprob, 1e-4) << i;
        ASSERT_EQ(got[i].top.size(), 3u);
        for (size_t k = 0; k < 3; ++k)
            EXPECT_NEAR(got[i].top[k].second, want.top[k].second, 1e-4) << i;
    }
}

// The device finds the largest logits of those that want nothing else, beside any others.
TEST_F(EngineTest, GreedyRequestsBesideOthers) {
    Session s = session(6);
    Engine engine(s, {});
    std::deque<Outcome> outcomes(12);
    std::vector<EngineRequest> requests;
    for (int64_t i = 0; i < 12; ++i) {
        requests.push_back(request_of(random_tokens(10 + i, static_cast<uint64_t>(i)), 20 + i * 3,
                                      static_cast<uint64_t>(i)));
        if (i % 3 != 0) requests.back().generate.sampler.temperature = 0;
        requests.back().logprobs = i % 4 == 1;
        engine.submit(requests.back(), outcomes[static_cast<size_t>(i)].events());
    }
    for (size_t i = 0; i < 12; ++i) {
        outcomes[i].wait();
        EXPECT_EQ(outcomes[i].tokens(), alone(requests[i])) << i;
    }
}

TEST_F(EngineTest, RefusesWhatCannotBe) {
    Session s = session(2);
    Engine engine(s, {.queue = 1});
    const auto refused = [&](auto&& change) {
        EngineRequest request = request_of(random_tokens(5, 7), 4, 1);
        change(request);
        try {
            engine.submit(request, {});
        } catch (const Error& e) {
            return std::string(e.what());
        }
        return std::string("taken");
    };
    EXPECT_THAT(refused([](auto& r) { r.generate.prompt.clear(); }), HasSubstr("at least one"));
    EXPECT_THAT(refused([](auto& r) { r.generate.prompt[2] = 61; }), HasSubstr("0 to 60"));
    EXPECT_THAT(refused([](auto& r) { r.sequences = 3; }), HasSubstr("1 to 2"));
    EXPECT_THAT(refused([](auto& r) { r.generate.sampler.top_p = 0; }), HasSubstr("top_p"));
    EXPECT_THAT(refused([](auto& r) {
                    r.generate.sampler.logit_bias = {{99, 1.0f}};
                }),
                HasSubstr("logit_bias"));
    // Two slots work, one request waits, the next one is too many.
    Outcome a, b;
    const auto endless = [](auto& r) { r.generate.max_new_tokens = 1'000'000; };
    EngineRequest request = request_of(random_tokens(5, 7), 1'000'000, 1);
    const Engine::Ticket first = engine.submit(request, a.events());
    a.wait_for_tokens(1);
    const Engine::Ticket second = engine.submit(request, b.events());
    b.wait_for_tokens(1);
    EXPECT_EQ(refused(endless), "taken");
    EXPECT_THAT(refused(endless), HasSubstr("1 requests are waiting"));
    engine.cancel(first);
    engine.cancel(second);
}

// Weights that give NaN: the request fails, the engine goes on.
TEST_F(EngineTest, AModelThatIsBrokenFailsTheRequest) {
    bed.weights.as<float>()[0] = std::nanf("");
    std::fill_n(bed.weights.as<float>(), bed.model.params().flat_size(), std::nanf(""));
    Session s = session(2);
    Engine engine(s, {});
    for (int i = 0; i < 2; ++i) {
        Outcome outcome;
        engine.submit(request_of(random_tokens(5, 8), 4, 1), outcome.events());
        outcome.wait();
        EXPECT_THAT(outcome.failure, HasSubstr("not finite"));
    }
    engine.drain();
    EXPECT_EQ(engine.stats().failed, 2);
}

} // namespace
} // namespace tnl
