#include "corpus/select/thresholds.h"

#include "base/check.h"
#include "base/file.h"
#include "base/rng.h"
#include "corpus/scores/score_tally.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace tnl::corpus {
namespace {
namespace fs = std::filesystem;

fs::path scratch() {
    const fs::path path = fs::temp_directory_path() / "transnormer_select_test";
    fs::create_directories(path);
    return path;
}

DocumentScore scored(double perplexity, const std::string& language = "") {
    DocumentScore out;
    out.tokens = 10;
    out.bytes = 40;
    out.perplexity = perplexity;
    out.groups[static_cast<size_t>(Group::language)] = language;
    return out;
}

Thresholds find(const std::vector<DocumentScore>& scores, QuantileOptions options) {
    options.scratch = scratch();
    size_t at = 0;
    return find_thresholds(options, [&](DocumentScore& out) {
        if (at == scores.size()) return false;
        out = scores[at++];
        return true;
    });
}

std::vector<DocumentScore> random_scores(size_t n) {
    std::vector<DocumentScore> out;
    for (size_t i = 0; i < n; ++i)
        out.push_back(scored(std::exp(Philox{5}.normal(i)), i % 3 == 0 ? "de" : "en"));
    return out;
}

TEST(Thresholds, AreTheValuesAtTheRanksOfTheQuantiles) {
    const std::vector<DocumentScore> scores = random_scores(1000);
    std::vector<double> values;
    for (const DocumentScore& s : scores) values.push_back(*s.perplexity);
    std::sort(values.begin(), values.end());
    QuantileOptions options;
    options.low = 0.05;
    options.high = 0.8;
    const Thresholds found = find(scores, options);
    EXPECT_EQ(found.all.low, values[50]);   // the first that stays
    EXPECT_EQ(found.all.high, values[799]); // the last
    EXPECT_EQ(found.all.documents, 1000);
    const auto kept = std::count_if(values.begin(), values.end(), [&](double v) {
        return v >= *found.all.low && v <= *found.all.high;
    });
    EXPECT_EQ(kept, 750);
    const Thresholds none = find(scores, {});
    EXPECT_FALSE(none.all.low || none.all.high);
}

TEST(Thresholds, OfGroupsAreThoseOfTheGroupAlone) {
    const std::vector<DocumentScore> scores = random_scores(999);
    QuantileOptions options;
    options.high = 0.5;
    options.per = {Group::language};
    const Thresholds found = find(scores, options);
    for (const char* language : {"de", "en"}) {
        std::vector<DocumentScore> alone;
        for (const DocumentScore& s : scores)
            if (s.groups[static_cast<size_t>(Group::language)] == language) alone.push_back(s);
        QuantileOptions plain = options;
        plain.per = {};
        EXPECT_EQ(found.of(alone.front().groups).high, find(alone, plain).all.high) << language;
    }
    options.least_documents = 400; // de has 333
    const Thresholds fewer = find(scores, options);
    EXPECT_EQ(fewer.of(scored(1, "de").groups).high, fewer.all.high);
    EXPECT_NE(fewer.of(scored(1, "en").groups).high, fewer.all.high);
    EXPECT_EQ(fewer.of(scored(1, "fr").groups).high, fewer.all.high); // not seen
}

TEST(Thresholds, DoNotDependOnMemoryAndComeBackFromTheirFile) {
    const std::vector<DocumentScore> scores = random_scores(20000);
    QuantileOptions options;
    options.low = 0.1;
    options.high = 0.7;
    options.per = {Group::language};
    options.max = 1.5;
    const Thresholds all = find(scores, options);
    options.memory = 1 << 16; // sorted on disk
    const Thresholds little = find(scores, options);
    EXPECT_EQ(all.json(), little.json());
    EXPECT_EQ(all.all.high, std::min(1.5, *all.all.high));
    const fs::path path = scratch() / "thresholds.json";
    write_file_atomic(path, all.json().dump());
    EXPECT_EQ(Thresholds::load(path).json(), all.json());
    write_file_atomic(path, R"({"by": "size", "per": [], "all": {}, "groups": []})");
    try {
        Thresholds::load(path);
        FAIL() << "a measure that is none";
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("by is 'size', wanted one of perplexity"),
                  std::string::npos)
            << e.what();
    }
}

TEST(DocumentScore, ComesBackFromItsSidecar) {
    DocumentScore a;
    a.id = "a \"quoted\" ü";
    a.index = 7;
    a.tokens = 3;
    a.bytes = 12;
    a.groups[static_cast<size_t>(Group::source)] = "web\tpage";
    a.set_nll(4.5);
    DocumentScore b;
    b.id = "nothing";
    b.index = 8;
    b.set_nll(0);
    std::string lines;
    a.append_json(lines);
    b.append_json(lines);
    const fs::path path = scratch() / "scores.jsonl";
    write_file_atomic(path, lines);
    ScoreReader reader(path);
    DocumentScore read;
    ASSERT_TRUE(reader.next(read));
    EXPECT_EQ(read.id, a.id);
    EXPECT_EQ(read.index, 7);
    EXPECT_EQ(read.groups, a.groups);
    EXPECT_NEAR(*read.perplexity, std::exp(1.5), 1e-5);
    EXPECT_NEAR(*read.bits_per_byte, 4.5 / std::log(2) / 12, 1e-6);
    ASSERT_TRUE(reader.next(read));
    EXPECT_FALSE(read.perplexity || read.bits_per_byte);
    EXPECT_FALSE(reader.next(read));
    write_file_atomic(path, R"({"id": "x", "index": 0, "tokens": "many"})");
    ScoreReader bad(path);
    try {
        bad.next(read);
        FAIL() << "tokens that are no number";
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("scores.jsonl:1: field 'tokens' is 'many'"),
                  std::string::npos)
            << e.what();
    }
}

TEST(ScoreTally, BinsHoldTheirValues) {
    for (const double value : {1e-9, 0.3, 1.0, 1.09, 2.0, 54.7, 1e30}) {
        const int bin = value_bin(value);
        if (bin > -160 && bin < 480) {
            EXPECT_LE(std::exp2(bin / 8.0), value * (1 + 1e-12));
            EXPECT_GT(std::exp2((bin + 1) / 8.0), value);
        }
    }
    ScoreTally tally;
    tally.add(scored(2, "en"));
    Json counts = Json::object();
    tally.add_to(counts, "before\t");
    EXPECT_EQ(counts.at("before\tperplexity\t8"), 1);
    EXPECT_EQ(counts.at("before\tlanguage\ten\ttokens"), 10);
}

} // namespace
} // namespace tnl::corpus
