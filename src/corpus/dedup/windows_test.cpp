#include "corpus/dedup/ngram_filter.h"
#include "corpus/dedup/windows.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>

namespace tnl::corpus {
namespace {

std::string random_text(std::mt19937& draw, size_t bytes, int letters) {
    std::string out;
    for (size_t i = 0; i < bytes; ++i) out += static_cast<char>('a' + draw() % unsigned(letters));
    return out;
}

// What the job looks for: every window that stands in two places is in a range around an anchor
// whose hash is there twice.
TEST(Windows, AnchorsFindAllThatIsThereTwice) {
    std::mt19937 draw(5);
    for (const size_t length : {8, 20, 33, 100})
        for (const int letters : {1, 2, 3, 20}) {
            std::vector<std::string> texts;
            for (int i = 0; i < 12; ++i) texts.push_back(random_text(draw, draw() % 400, letters));
            for (int i = 0; i < 6; ++i) { // parts of others
                const std::string& from = texts[draw() % 12];
                const size_t begin = draw() % (from.size() + 1);
                texts[draw() % 12].insert(0, from, begin, length + draw() % 30);
            }
            AnchorFinder find(length);
            std::map<uint64_t, int> count;
            std::vector<std::vector<Anchor>> anchors;
            for (const std::string& text : texts)
                for (const Anchor& anchor : anchors.emplace_back(find(text))) ++count[anchor.hash];
            std::map<std::string, std::vector<std::pair<size_t, size_t>>> windows;
            for (size_t t = 0; t < texts.size(); ++t)
                for (size_t at = 0; at + length <= texts[t].size(); ++at)
                    windows[texts[t].substr(at, length)].emplace_back(t, at);
            std::vector<WindowRange> ranges;
            std::vector<std::set<size_t>> looked_at(texts.size());
            for (size_t t = 0; t < texts.size(); ++t) {
                std::vector<uint32_t> places;
                for (const Anchor& anchor : anchors[t])
                    if (count[anchor.hash] > 1) places.push_back(anchor.at);
                windows_around(places, texts[t].size(), length, find.gram(), ranges);
                for (const WindowRange& range : ranges)
                    for (size_t at = range.first; at <= range.last; ++at)
                        EXPECT_TRUE(looked_at[t].insert(at).second);
            }
            for (const auto& [window, places] : windows) {
                if (places.size() < 2) continue;
                for (const auto& place : places)
                    EXPECT_TRUE(looked_at[place.first].count(place.second))
                        << length << " of " << letters << ": " << place.second;
            }
        }
}

TEST(Windows, ARunOfOneByteHasFewAnchors) {
    AnchorFinder find(100);
    EXPECT_LT(find(std::string(100'000, 'x')).size(), 100'000U / 40);
    EXPECT_TRUE(find(std::string(99, 'x')).empty());
    EXPECT_EQ(find(std::string(100, 'x')).size(), 1U);
}

TEST(Windows, HashesAreEqualWhereBytesAre) {
    std::mt19937 draw(6);
    for (const size_t length : {8, 51, 100}) {
        const std::string text = random_text(draw, 5000, 2);
        std::map<std::string, std::pair<uint64_t, uint64_t>> of_window;
        std::set<std::pair<uint64_t, uint64_t>> hashes;
        const WindowHasher hasher(length);
        for (const auto& [first, last] :
             {std::pair<size_t, size_t>{0, 3000}, {2500, 5000 - length}})
            hasher(text, first, last, [&](size_t at, const WindowHash& hash) {
                const auto [entry, is_new] =
                    of_window.try_emplace(text.substr(at, length), hash.high, hash.low);
                if (is_new) hashes.emplace(hash.high, hash.low);
                EXPECT_EQ(entry->second, std::pair(hash.high, hash.low)) << at;
            });
        EXPECT_EQ(hashes.size(), of_window.size());
    }
}

TEST(NgramFilter, KnowsWhatWasPutInAndLittleElse) {
    NgramFilter filter(64 << 10);
    std::mt19937_64 draw(7);
    std::vector<uint64_t> in(30'000);
    for (uint64_t& hash : in) hash = draw();
    EXPECT_FALSE(filter.contains(in[0]));
    for (const uint64_t hash : in) filter.insert(hash);
    for (const uint64_t hash : in) EXPECT_TRUE(filter.contains(hash));
    int wrong = 0;
    for (int i = 0; i < 100'000; ++i) wrong += filter.contains(draw());
    // 17 bits an n-gram; what it measures of itself is what happens.
    EXPECT_LT(wrong, 500);
    EXPECT_NEAR(filter.false_positives() * 1e5, wrong, 60 + 0.2 * wrong);
}

} // namespace
} // namespace tnl::corpus
