#include "corpus/mix/mix_plan.h"

#include "base/check.h"
#include "corpus/mix/scatter.h"

#include <gtest/gtest.h>

#include <map>

namespace tnl::corpus {
namespace {
namespace fs = std::filesystem;

const std::map<std::string, GroupSize> kSizes = {{"web", {100, 9000, 3000}},
                                                 {"wiki", {10, 1000, 500}}};

std::string fault(const MixWeights& weights) {
    try {
        plan_mix(kSizes, weights);
    } catch (const UsageError& e) {
        return e.what();
    }
    return "";
}

TEST(MixPlan, TakesEpochsAsTheyAre) {
    MixWeights weights;
    weights.epochs = {{"wiki", 2.5}};
    const auto plan = plan_mix(kSizes, weights);
    EXPECT_DOUBLE_EQ(plan.at("wiki"), 2.5);
    EXPECT_DOUBLE_EQ(plan.at("web"), 1);
    weights.epochs = {{"wikipedia", 2}};
    EXPECT_NE(fault(weights).find("names 'wikipedia', which no document has; there are: web, wiki"),
              std::string::npos);
}

TEST(MixPlan, DividesATargetByWeight) {
    MixWeights weights;
    weights.target = 10000;
    weights.weights = {{"web", 3}, {"wiki", 1}};
    const auto bytes = plan_mix(kSizes, weights);
    EXPECT_DOUBLE_EQ(bytes.at("web"), 7500.0 / 9000);
    EXPECT_DOUBLE_EQ(bytes.at("wiki"), 2.5);
    weights.target_tokens = true;
    EXPECT_DOUBLE_EQ(plan_mix(kSizes, weights).at("wiki"), 5);
    weights.most_epochs = 4;
    EXPECT_DOUBLE_EQ(plan_mix(kSizes, weights).at("wiki"), 4);
    weights.weights = {{"web", 3}};
    EXPECT_NE(fault(weights).find("no --weight for 'wiki'"), std::string::npos);
    weights.weights = {}; // the shares that they have
    const auto natural = plan_mix(kSizes, weights);
    EXPECT_DOUBLE_EQ(natural.at("web"), natural.at("wiki"));
}

TEST(MixPlan, CopiesHaveTheRightMean) {
    int64_t copies = 0;
    for (uint64_t i = 0; i < 20000; ++i) copies += copies_of(2.3, 1, 0, i);
    EXPECT_NEAR(static_cast<double>(copies) / 20000, 2.3, 0.02); // 6 standard deviations
    EXPECT_EQ(copies_of(3, 1, 0, 5), 3);
    EXPECT_EQ(copies_of(0, 1, 0, 5), 0);
}

// All lines are in the part of their key, whatever the memory is, and nothing is lost.
TEST(Scatter, GivesEachPartItsLines) {
    const fs::path folder = fs::temp_directory_path() / "transnormer_scatter_test";
    fs::create_directories(folder);
    constexpr uint64_t kParts = 7, kLines = 5000;
    for (const size_t memory : {size_t{1} << 12, size_t{1} << 24}) {
        ScatterWriter writer(folder / "data", folder / "index", kParts, memory);
        for (uint64_t i = 0; i < kLines; ++i)
            writer.add(key_of(3, 0, i, 0), i, 0, std::string(i % 50, 'x') + std::to_string(i));
        writer.commit();
        const ScatterReader reader(folder / "data", folder / "index", kParts);
        std::map<uint64_t, std::string> seen;
        for (uint64_t part = 0; part < kParts; ++part)
            reader.read(part, [&](const ScatteredLine& line) {
                EXPECT_EQ(part_of(line.key, kParts), part);
                EXPECT_EQ(line.key, key_of(3, 0, line.index, 0));
                seen[line.index] = line.line;
            });
        ASSERT_EQ(seen.size(), kLines);
        for (const auto& [i, line] : seen)
            EXPECT_EQ(line, std::string(i % 50, 'x') + std::to_string(i));
    }
    EXPECT_THROW(ScatterReader(folder / "data", folder / "index", kParts + 1), Error);
}

} // namespace
} // namespace tnl::corpus
