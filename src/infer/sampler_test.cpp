#include "infer/sampler.h"

#include "base/check.h"
#include "base/rng.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace tnl {
namespace {

using ::testing::HasSubstr;

constexpr float kInf = std::numeric_limits<float>::infinity();

std::map<int32_t, double> distribution(const std::vector<float>& logits,
                                       const SamplerOptions& options,
                                       const std::vector<int32_t>& seen = {}) {
    std::map<int32_t, double> out;
    for (const Candidate& c : token_distribution(logits, options, seen)) out[c.token] = c.p;
    return out;
}

// Log-probabilities as logits: the softmax gives them back.
std::vector<float> logs(const std::vector<double>& p) {
    std::vector<float> out;
    for (const double x : p) out.push_back(static_cast<float>(std::log(x)));
    return out;
}

void expect_distribution(const std::map<int32_t, double>& got,
                         const std::map<int32_t, double>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (const auto& [token, p] : want) {
        ASSERT_TRUE(got.contains(token)) << token;
        EXPECT_NEAR(got.at(token), p, 1e-6) << token;
    }
}

std::vector<float> random_logits(size_t n, uint64_t seed) {
    std::vector<float> out;
    for (size_t i = 0; i < n; ++i) out.push_back(static_cast<float>(2 * Philox{seed, 3}.normal(i)));
    return out;
}

TEST(Sampler, ZeroTemperatureIsGreedyWithLowerIdOnTies) {
    SamplerOptions greedy;
    greedy.temperature = 0;
    EXPECT_EQ(sample_token(std::vector<float>{1, 3, 2, 3}, greedy, {}, 0, 0), 1);
    EXPECT_EQ(sample_token(std::vector<float>{-kInf, -5, -5}, greedy, {}, 7, 9), 1);
}

TEST(Sampler, SoftmaxOfEverythingByDefault) {
    expect_distribution(distribution(logs({0.5, 0.3, 0.2}), {}), {{0, 0.5}, {1, 0.3}, {2, 0.2}});
}

TEST(Sampler, TemperatureRaisesProbabilitiesToItsInverse) {
    SamplerOptions o;
    o.temperature = 0.5; // p^2, normalised
    const double z = 0.25 + 0.09 + 0.04;
    expect_distribution(distribution(logs({0.5, 0.3, 0.2}), o),
                        {{0, 0.25 / z}, {1, 0.09 / z}, {2, 0.04 / z}});
    o.temperature = 1e-300;
    expect_distribution(distribution({80, 90, 70}, o), {{1, 1}});
    o.temperature = 1e300;
    expect_distribution(distribution({80, 90}, o), {{0, 0.5}, {1, 0.5}});
}

TEST(Sampler, TopKKeepsTheLargestAndTies) {
    SamplerOptions o;
    o.top_k = 2;
    expect_distribution(distribution(logs({0.1, 0.5, 0.4}), o), {{1, 5. / 9}, {2, 4. / 9}});
    expect_distribution(distribution({1, 0, 1, 1}, o), {{0, 1. / 3}, {2, 1. / 3}, {3, 1. / 3}});
    o.top_k = 1;
    expect_distribution(distribution(logs({0.1, 0.5, 0.4}), o), {{1, 1}});
    o.top_k = 1000;
    expect_distribution(distribution(logs({0.1, 0.5, 0.4}), o), {{0, .1}, {1, .5}, {2, .4}});
}

TEST(Sampler, TopPKeepsTheFewestThatReachIt) {
    SamplerOptions o;
    const auto logits = std::vector<float>{0, 0, 0, 0}; // a quarter each, exactly
    o.top_p = 0.5;
    expect_distribution(distribution(logits, o), {{0, 0.5}, {1, 0.5}});
    o.top_p = 0.500001;
    expect_distribution(distribution(logits, o), {{0, 1. / 3}, {1, 1. / 3}, {2, 1. / 3}});
    o.top_p = 1e-9;
    expect_distribution(distribution(logits, o), {{0, 1}});
    o.top_p = 1;
    EXPECT_EQ(distribution(logits, o).size(), 4u);
    o.top_p = 0.75;
    expect_distribution(distribution(logs({0.1, 0.5, 0.4}), o), {{1, 5. / 9}, {2, 4. / 9}});
}

TEST(Sampler, TopPWorksOnWhatTopKLeft) {
    SamplerOptions o;
    o.top_k = 2;
    o.top_p = 0.55; // of {0.4, 0.3} the first alone is 4/7 = 0.571
    expect_distribution(distribution(logs({0.3, 0.4, 0.2, 0.1}), o), {{1, 1}});
}

TEST(Sampler, MinPIsRelativeToTheLargest) {
    SamplerOptions o;
    o.min_p = 0.5;
    expect_distribution(distribution(logs({0.5, 0.3, 0.2}), o), {{0, 0.625}, {1, 0.375}});
    o.min_p = 1;
    expect_distribution(distribution({2, 2, 1}, o), {{0, 0.5}, {1, 0.5}});
}

TEST(Sampler, RepetitionPenaltyDividesPositiveAndMultipliesNegative) {
    SamplerOptions o;
    o.repetition_penalty = 2;
    const auto got = distribution({2, -1, 1, 0.5}, o, {0, 1});
    const double e[] = {std::exp(1.0), std::exp(-2.0), std::exp(1.0), std::exp(0.5)};
    const double z = e[0] + e[1] + e[2] + e[3];
    expect_distribution(got, {{0, e[0] / z}, {1, e[1] / z}, {2, e[2] / z}, {3, e[3] / z}});
    o.temperature = 0; // applies to greedy choice too
    EXPECT_EQ(sample_token(std::vector<float>{2, 1.5f}, o, std::vector<int32_t>{0}, 0, 0), 1);
}

TEST(Sampler, BiasIsAddedFirst) {
    SamplerOptions o;
    o.logit_bias = {{1, -kInf}, {2, 1.0f}};
    const double e = std::exp(1.0);
    expect_distribution(distribution({0, 9, 0}, o), {{0, 1 / (1 + e)}, {2, e / (1 + e)}});
    o.logit_bias = {{3, 1.0f}};
    EXPECT_THROW(distribution({0, 9, 0}, o), Error);
}

// An independent statement of the whole chain: sort everything, then cut.
std::map<int32_t, double> reference(const std::vector<float>& logits, const SamplerOptions& o,
                                    const std::vector<int32_t>& seen) {
    std::vector<std::pair<double, int32_t>> rows;
    for (size_t i = 0; i < logits.size(); ++i) {
        double x = logits[i];
        if (std::ranges::find(seen, static_cast<int32_t>(i)) != seen.end())
            x = x > 0 ? x / o.repetition_penalty : x * o.repetition_penalty;
        rows.push_back({-x / o.temperature, static_cast<int32_t>(i)});
    }
    std::ranges::sort(rows);
    if (o.top_k > 0) {
        size_t n = std::min(static_cast<size_t>(o.top_k), rows.size());
        while (n < rows.size() && rows[n].first == rows[n - 1].first) ++n;
        rows.resize(n);
    }
    auto total = [&] {
        double sum = 0;
        for (const auto& r : rows) sum += std::exp(-r.first);
        return sum;
    };
    const double whole = total();
    double sum = 0;
    size_t n = 0;
    while (n < rows.size() && (n == 0 || sum < o.top_p * whole)) sum += std::exp(-rows[n++].first);
    rows.resize(n);
    const double least = std::max(o.min_p, std::exp2(-45)); // what counts as nothing
    while (std::exp(-rows.back().first) < least * std::exp(-rows[0].first)) rows.pop_back();
    std::map<int32_t, double> out;
    const double z = total();
    for (const auto& r : rows) out[r.second] = std::exp(-r.first) / z;
    return out;
}

TEST(Sampler, AgreesWithSortingEverything) {
    for (uint64_t trial = 0; trial < 60; ++trial) {
        const Philox random{trial, 0};
        const auto logits = random_logits(500, trial);
        SamplerOptions o;
        o.temperature = 0.3 + 1.5 * random.uniform(0);
        o.top_k = static_cast<int64_t>(random.below(1, 600));
        o.top_p = trial % 3 ? 0.05 + 0.95 * random.uniform(2) : 1;
        o.min_p = trial % 2 ? 0.2 * random.uniform(3) : 0;
        o.repetition_penalty = 1 + random.uniform(4);
        std::vector<int32_t> seen;
        for (uint64_t i = 0; i < 40; ++i)
            seen.push_back(static_cast<int32_t>(i * 12 + random.below(10 + i, 12)));
        const auto want = reference(logits, o, seen);
        SCOPED_TRACE(trial);
        expect_distribution(distribution(logits, o, seen), want);
    }
}

TEST(Sampler, DrawsFollowTheDistribution) {
    const auto logits = random_logits(12, 4);
    SamplerOptions o;
    o.top_k = 8;
    o.top_p = 0.95;
    o.seed = 99;
    const auto want = distribution(logits, o);
    constexpr int kDraws = 40000;
    std::map<int32_t, int> counts;
    for (uint64_t i = 0; i < kDraws; ++i)
        // Half over positions of one request, half over requests at one position.
        ++counts[i % 2 ? sample_token(logits, o, {}, 5, i) : sample_token(logits, o, {}, i, 5)];
    double chi2 = 0;
    for (const auto& [token, p] : want) {
        const double expected = p * kDraws;
        chi2 += std::pow(counts[token] - expected, 2) / expected;
        counts.erase(token);
    }
    EXPECT_TRUE(counts.empty()) << "a token outside the distribution was drawn";
    EXPECT_LT(chi2, 30) << want.size() - 1 << " degrees of freedom";
}

TEST(Sampler, DrawsDependOnSeedRequestAndPositionOnly) {
    const auto logits = random_logits(1000, 1);
    SamplerOptions o, other;
    other.seed = 1;
    EXPECT_EQ(sample_token(logits, o, {}, 1, 2), sample_token(logits, o, {}, 1, 2));
    int by_seed = 0, by_request = 0, by_position = 0;
    for (uint64_t i = 0; i < 100; ++i) {
        const int32_t base = sample_token(logits, o, {}, 1, i);
        by_seed += base != sample_token(logits, other, {}, 1, i);
        by_request += base != sample_token(logits, o, {}, 2, i);
        by_position += base != sample_token(logits, o, {}, 1, i + 1000);
    }
    EXPECT_GT(by_seed, 80);
    EXPECT_GT(by_request, 80);
    EXPECT_GT(by_position, 80);
}

std::string error_of(const std::vector<float>& logits) {
    try {
        sample_token(logits, {}, {}, 0, 0);
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

TEST(Sampler, NotFiniteLogitsAreErrors) {
    EXPECT_THAT(error_of({0, std::nanf(""), 1}), HasSubstr("logit of token 1 is nan"));
    EXPECT_THAT(error_of({0, 1, kInf}), HasSubstr("logit of token 2 is inf"));
    EXPECT_THAT(error_of({-kInf, -kInf}), HasSubstr("no token can be chosen"));
    EXPECT_THAT(error_of({}), HasSubstr("no logits"));
    EXPECT_EQ(error_of({-kInf, 0}), "");
}

TEST(Sampler, OptionsAreChecked) {
    auto message = [](auto change) {
        SamplerOptions o;
        change(o);
        try {
            o.validate();
        } catch (const UsageError& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    EXPECT_EQ(message([](SamplerOptions&) {}), "");
    EXPECT_THAT(message([](auto& o) { o.temperature = -1; }), HasSubstr("temperature is -1"));
    EXPECT_THAT(message([](auto& o) { o.temperature = NAN; }), HasSubstr("temperature"));
    EXPECT_THAT(message([](auto& o) { o.top_k = -2; }), HasSubstr("top_k is -2"));
    EXPECT_THAT(message([](auto& o) { o.top_p = 0; }), HasSubstr("top_p is 0"));
    EXPECT_THAT(message([](auto& o) { o.top_p = 1.5; }), HasSubstr("top_p is 1.5"));
    EXPECT_THAT(message([](auto& o) { o.min_p = 2; }), HasSubstr("min_p is 2"));
    EXPECT_THAT(message([](auto& o) { o.repetition_penalty = 0; }), HasSubstr("repetition"));
    EXPECT_THAT(message([](auto& o) { o.logit_bias = {{1, NAN}}; }), HasSubstr("logit_bias"));
}

// OpenAI's formula: logit - presence - frequency * count, of what was made alone.
TEST(Sampler, PresenceAndFrequencyPenalties) {
    SamplerOptions o;
    o.presence_penalty = 0.5;
    o.frequency_penalty = 0.25;
    SeenTokens seen(4);
    seen.add(0); // of the prompt: free
    seen.add_made(1);
    seen.add_made(2);
    seen.add_made(2);
    seen.add_made(2);
    std::map<int32_t, double> p;
    for (const Candidate& c :
         token_distribution(std::vector<float>{1, 1, 1, 1}, o, seen.list(), seen.made()))
        p[c.token] = c.p;
    EXPECT_NEAR(std::log(p[0] / p[3]), 0, 1e-12);
    EXPECT_NEAR(std::log(p[0] / p[1]), 0.75, 1e-12);
    EXPECT_NEAR(std::log(p[0] / p[2]), 1.25, 1e-12);
    o.temperature = 0;
    EXPECT_EQ(sample_token(std::vector<float>{1, 2.2f, 2, 1.5f}, o, seen.list(), 0, 0, seen.made()),
              3);
    o.presence_penalty = 2.5;
    EXPECT_THROW(o.validate(), UsageError);
}

TEST(SeenTokens, ListsEachOnceAndChecksTheRange) {
    SeenTokens seen(10);
    for (const int32_t t : {3, 1, 3, 9, 1}) seen.add(t);
    EXPECT_THAT(seen.list(), ::testing::ElementsAre(3, 1, 9));
    EXPECT_THROW(seen.add(10), Error);
    EXPECT_THROW(seen.add(-1), Error);
}

} // namespace
} // namespace tnl
