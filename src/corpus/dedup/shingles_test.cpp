#include "corpus/dedup/shingles.h"

#include "base/cpu.h"
#include "corpus/dedup/characters.h"
#include "corpus/dedup/minhash.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace tnl::corpus {
namespace {

std::string simplified(std::string_view text, const SimplifyOptions& options = {}) {
    std::string out, plain;
    simplify(text, out, options);
    simplify_plain(text, plain, options);
    EXPECT_EQ(out, plain) << text;
    return out;
}

TEST(Simplify, Steps) {
    EXPECT_EQ(simplified(""), "");
    EXPECT_EQ(simplified(" \t\n"), "");
    EXPECT_EQ(simplified("Hello,  World!\n"), "hello world");
    EXPECT_EQ(simplified("1.5 and 1,234,567 and 3..4 and 5."), "0 and 0 0 and 0 0 and 0");
    EXPECT_EQ(simplified("a1b22c\u0663\u066B\u0664"), "a0b0c0");
    EXPECT_EQ(simplified("\u00C9cole na\u00EFve"), "ecole naive");
    EXPECT_EQ(simplified("\u0130stanbul"), "istanbul");
    EXPECT_EQ(simplified("\u039F\u0394\u039F\u03A3 \u03A3\u0391\u03A3"),
              "\u03BF\u03B4\u03BF\u03C2 \u03C3\u03B1\u03C2");
    EXPECT_EQ(simplified("\u201Cq\u201D \u2018r\u2019\u00A0s\u3000t"), "q \u2018r s t");
    EXPECT_EQ(simplified("\uAC01"), "\u1100\u1161\u11A8"); // Hangul falls apart
    EXPECT_EQ(simplified("a \u0301 b"), "a  b");           // the mark goes after spaces are one
    EXPECT_EQ(simplified("\u0301 a \u0301"), "a");
    EXPECT_EQ(simplified("\U0001F600 \U0001D7D9"), "\U0001F600 0");
    EXPECT_EQ(simplified("a\u037Eb"), "a;b"); // decomposes into punctuation, too late
    SimplifyOptions names;
    names.weekdays = names.months = true;
    EXPECT_EQ(simplified("Monday, 3 May", names), "WEEKDAY 0 MONTH");
    SimplifyOptions raw{.lowercase = false,
                        .numbers = false,
                        .punctuation = false,
                        .whitespace = false,
                        .diacritics = false};
    EXPECT_EQ(simplified(" A  1.5 \u00C9", raw), "A  1.5 \u00C9");
}

TEST(Simplify, PassIsThePlainOne) {
    std::mt19937 random(11);
    const auto any = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
    const std::u32string_view favourites =
        U"aZ09.,  \n\t'-\u0301\u0327\u03A3\u03C3\u0130\u00AD\u0660\u066B\u1D165\u302E\uAC00\u2126";
    for (int round = 0; round < 3000; ++round) {
        std::string text;
        for (uint32_t i = any(40); i > 0; --i) {
            char32_t c = any(4) != 0 ? favourites[any(static_cast<uint32_t>(favourites.size()))]
                                     : any(any(2) != 0 ? 0x3000 : 0x2FFFF);
            if (c >= 0xD800 && c < 0xE000) c = U'x';
            append_utf8(text, c);
        }
        for (const bool numbers : {false, true}) {
            SimplifyOptions options;
            options.numbers = numbers;
            simplified(text, options);
        }
    }
}

// xxh64 by python-xxhash, signatures by datatrove.
TEST(Shingles, AreDatatroves) {
    const std::string text =
        "The quick brown fox jumps over the lazy dog, and then the fox sleeps.";
    EXPECT_EQ(simplified(text),
              "the quick brown fox jumps over the lazy dog and then the fox sleeps");
    Shingler shingler({});
    const auto shingles = shingler(text);
    ASSERT_EQ(shingles.size(), 10U);
    EXPECT_EQ(shingles.front(), 7797000677988824208U);
    EXPECT_EQ(shingles.back(), 6361241838193391890U);
    uint64_t signature[112];
    MinHasher(1, 112).signature(shingles, signature);
    const uint64_t wanted[8] = {85330943174081874, 507879811740766634, 302227827184868053,
                                34440879854629237, 206625306009778515, 90264878142231430,
                                74057194045292775, 62654670980608654};
    for (size_t i = 0; i < 8; ++i) EXPECT_EQ(signature[i], wanted[i]) << i;
}

// Of the words' own hashes: the same for the same words in the same order, wherever they stand, and
// told apart otherwise.
TEST(Shingles, OfWordsAreFunctionsOfTheNgram) {
    ShingleOptions options;
    options.words = 3;
    options.cut = WordCut::spaces;
    options.hash = ShingleHash::words;
    Shingler shingler(options);
    const auto of = [&](const std::string& text) {
        const auto shingles = shingler(text);
        return std::vector<uint64_t>(shingles.begin(), shingles.end());
    };
    const auto text = of("a b c d a b c e b a c d");
    ASSERT_EQ(text.size(), 10U);
    EXPECT_EQ(text[0], text[4]); // a b c
    EXPECT_EQ(text[0], of("x y z a b c")[3]);
    EXPECT_EQ(text[9], of("b a c d")[1]);
    const std::set<uint64_t> distinct(text.begin(), text.end());
    EXPECT_EQ(distinct.size(), 9U);
    EXPECT_NE(of("ab c d")[0], of("a bc d")[0]);
    EXPECT_NE(of("a b c")[0], of("c b a")[0]);
    EXPECT_TRUE(of("a b").empty());
}

TEST(Shingles, ShortTextsHaveNone) {
    Shingler shingler({});
    EXPECT_TRUE(shingler("").empty());
    EXPECT_TRUE(shingler("one two three four").empty());
    EXPECT_EQ(shingler("one two three four five").size(), 1U);
}

// FIPS 180-4's examples, and lengths around the ends of blocks against one another's instruction
// sets.
TEST(Sha1, KnownDigests) {
    const std::string abc = "abc", two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                      million(1000000, 'a');
    const Message messages[] = {{abc.data(), 3},
                                {two.data(), two.size()},
                                {abc.data(), 0},
                                {million.data(), million.size()}};
    std::vector<Sha1Loop> loops = {sha1_loop_baseline()};
    if (cpu_features().avx2) loops.push_back(sha1_loop_avx2());
    if (cpu_features().avx512) loops.push_back(sha1_loop_avx512());
    for (const Sha1Loop loop : loops) {
        uint64_t out[4];
        loop(out, messages, 4);
        EXPECT_EQ(__builtin_bswap64(out[0]), 0xa9993e364706816aU);
        EXPECT_EQ(__builtin_bswap64(out[1]), 0x84983e441c3bd26eU);
        EXPECT_EQ(__builtin_bswap64(out[2]), 0xda39a3ee5e6b4b0dU);
        EXPECT_EQ(__builtin_bswap64(out[3]), 0x34aa973cd4c4daa4U);
    }
    std::string text(400, ' ');
    for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
    std::vector<Message> lengths;
    for (size_t n = 0; n < 300; ++n) lengths.push_back({text.data() + n % 7, n});
    std::vector<uint64_t> first(lengths.size()), other(lengths.size());
    loops[0](first.data(), lengths.data(), lengths.size());
    EXPECT_EQ(std::set<uint64_t>(first.begin(), first.end()).size(), first.size());
    for (const Sha1Loop loop : loops) {
        loop(other.data(), lengths.data(), lengths.size());
        EXPECT_EQ(other, first);
    }
}

// Cuts off a last "nt", counts how often it was asked.
class Cutter final : public WordCutter {
  public:
    void cut(std::string_view word, std::vector<std::string_view>& tokens) override {
        ++asked;
        if (word.size() > 2 && word.ends_with("nt")) {
            tokens.push_back(word.substr(0, word.size() - 2));
            tokens.push_back(word.substr(word.size() - 2));
        } else if (word != "dropped") {
            tokens.push_back(word);
        }
    }
    int asked = 0;
};

// The word at the beginning of memory that may be read.
std::string_view readable(std::string_view word) {
    static char memory[64 + WordCuts::kReadable];
    word.copy(memory, word.size());
    return {memory, word.size()};
}

TEST(WordCuts, RemembersWholeWordsAlone) {
    Cutter cutter;
    WordCuts cuts(&cutter);
    std::vector<std::string> tokens;
    const auto add = [&](std::string_view token) { tokens.emplace_back(token); };
    for (int i = 0; i < 3; ++i)
        for (const std::string_view word : {"dont", "house", "dropped", "an-extremely-long-word"})
            cuts(readable(word), add);
    EXPECT_EQ(tokens.size(), 12U);
    EXPECT_EQ(tokens[0], "do");
    EXPECT_EQ(tokens[1], "nt");
    EXPECT_EQ(tokens[2], "house");
    EXPECT_EQ(cutter.asked, 10); // "house" once, the others each time
}

TEST(WordCuts, WordsThatDifferAreDifferent) {
    Cutter cutter;
    WordCuts cuts(&cutter);
    std::mt19937 random(3);
    for (int i = 0; i < 200000; ++i) {
        std::string word(1 + random() % 15, 'a');
        for (char& c : word) c = static_cast<char>('a' + random() % 2);
        const bool ends = word.size() > 2 && word.ends_with("ab");
        if (ends) word.replace(word.size() - 2, 2, "nt");
        int pieces = 0;
        cuts(readable(word), [&](std::string_view) { ++pieces; });
        ASSERT_EQ(pieces, ends ? 2 : 1) << word;
    }
}

} // namespace
} // namespace tnl::corpus
