#include "infer/stop_filter.h"

#include "base/check.h"
#include "base/rng.h"

#include <gtest/gtest.h>

#include <optional>

namespace tnl {
namespace {

// What the filter lets through, in pieces of the given sizes (repeated).
std::string through(const std::vector<std::string>& stops, const std::string& text,
                    const std::vector<size_t>& sizes, std::optional<std::string>* found = nullptr) {
    StopFilter filter(stops);
    std::string out;
    for (size_t at = 0, i = 0; at < text.size(); ++i) {
        const size_t n = sizes[i % sizes.size()];
        out += filter.push(text.substr(at, n));
        at += n;
    }
    if (!filter.stopped()) out += filter.finish();
    if (found) *found = filter.stopped() ? std::optional(filter.found()) : std::nullopt;
    return out;
}

TEST(StopFilter, WithoutStopStringsEverythingPassesAtOnce) {
    StopFilter filter({});
    EXPECT_EQ(filter.push("abc"), "abc");
    EXPECT_EQ(filter.finish(), "");
    EXPECT_FALSE(filter.stopped());
}

TEST(StopFilter, HoldsBackWhatMayBecomeAStopString) {
    StopFilter filter({"\n\nUser:"});
    EXPECT_EQ(filter.push("Hello"), "Hello");
    EXPECT_EQ(filter.push("\n"), "");
    EXPECT_EQ(filter.push("\nUs"), "");
    EXPECT_EQ(filter.push("ers\n"), "\n\nUsers");
    EXPECT_EQ(filter.push("\nUser"), "");
    EXPECT_EQ(filter.push(": and more"), "");
    EXPECT_TRUE(filter.stopped());
    EXPECT_EQ(filter.found(), "\n\nUser:");
    EXPECT_EQ(filter.push("later"), "");
    EXPECT_EQ(filter.finish(), "");
}

TEST(StopFilter, TheEndReleasesWhatWasHeld) {
    StopFilter filter({"###"});
    EXPECT_EQ(filter.push("a##"), "a");
    EXPECT_EQ(filter.finish(), "##");
}

TEST(StopFilter, OverlappingBeginnings) {
    EXPECT_EQ(through({"aab"}, "aaaab", {1}), "aa");
    EXPECT_EQ(through({"abab"}, "abacabab!", {1}), "abac");
    std::optional<std::string> found;
    // The one that is complete first stops; of two that end together, the longer is cut.
    EXPECT_EQ(through({"abcd", "bc"}, "xabcd", {1}, &found), "xa");
    EXPECT_EQ(found, "bc");
    EXPECT_EQ(through({"c", "abc"}, "xabc", {1}, &found), "x");
    EXPECT_EQ(found, "abc");
}

TEST(StopFilter, RejectsEmptyAndInvalidStopStrings) {
    EXPECT_THROW(StopFilter({""}), UsageError);
    EXPECT_THROW(StopFilter({"\x80"}), UsageError);
    EXPECT_THROW(StopFilter({"a\xe4\xb8"}), UsageError);
    EXPECT_NO_THROW(StopFilter({"\xe4\xb8\xad"}));
}

// Against a search in the whole text.
std::string whole(const std::vector<std::string>& stops, const std::string& text) {
    for (size_t end = 1; end <= text.size(); ++end) {
        size_t cut = std::string::npos;
        for (const std::string& stop : stops)
            if (text.substr(0, end).ends_with(stop)) cut = std::min(cut, end - stop.size());
        if (cut != std::string::npos) return text.substr(0, cut);
    }
    return text;
}

TEST(StopFilter, PiecesDoNotMatter) {
    for (uint64_t trial = 0; trial < 300; ++trial) {
        const Philox random{trial, 0};
        uint64_t n = 0;
        auto word = [&](uint64_t shortest, uint64_t longest) {
            std::string out;
            const uint64_t length = shortest + random.below(n++, longest - shortest + 1);
            for (uint64_t i = 0; i < length; ++i)
                out += static_cast<char>('a' + random.below(n++, 3));
            return out;
        };
        const std::string text = word(0, 60);
        std::vector<std::string> stops;
        for (uint64_t i = random.below(n++, 4); i > 0; --i) stops.push_back(word(1, 6));
        std::vector<size_t> sizes;
        for (int i = 0; i < 5; ++i) sizes.push_back(1 + random.below(n++, 7));
        EXPECT_EQ(through(stops, text, sizes), whole(stops, text)) << trial << ": " << text;
    }
}

} // namespace
} // namespace tnl
