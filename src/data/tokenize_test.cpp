#include "data/tokenize.h"

#include "base/check.h"
#include "base/file.h"
#include "data/shard.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace tnl {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Tokenize : public ::testing::Test {
  protected:
    void SetUp() override {
        folder = fs::path(::testing::TempDir()) /
                 (std::string("tokenize_") +
                  ::testing::UnitTest::GetInstance()->current_test_info()->name());
        fs::remove_all(folder);
        fs::create_directories(folder);
        for (int i = 0; i < 300; ++i)
            lines.push_back("the quick brown fox number " + std::to_string(i * i));
        size_t at = 0;
        TokenizerTraining training;
        training.vocab_size = 300;
        tokenizer.emplace(Tokenizer::from_bytes(train_tokenizer(training,
                                                                [&](std::string& line) {
                                                                    if (at == lines.size())
                                                                        return false;
                                                                    line = lines[at++];
                                                                    return true;
                                                                }),
                                                "small"));
    }
    void TearDown() override { fs::remove_all(folder); }

    // A JSONL file of `count` documents, ended by a broken line if asked for.
    std::string corpus(const std::string& name, size_t count, bool broken = false) const {
        std::string text;
        for (size_t i = 0; i < count; ++i) text += "{\"text\": \"" + lines[i] + "\"}\n";
        write_file_atomic(folder / name, broken ? text + "{\n" : text);
        return (folder / name).string();
    }
    TokenizeResult run(const std::string& input, double val_fraction = 0) {
        DocumentReader reader({input});
        TokenizeOptions options;
        options.output = folder / "out";
        options.val_fraction = val_fraction;
        options.shard_tokens = 500;
        options.threads = 1;
        return tokenize(reader, nullptr, *tokenizer, options, {});
    }
    static std::vector<std::string> names(const fs::path& directory) {
        std::vector<std::string> out;
        std::error_code none;
        for (const auto& entry : fs::directory_iterator(directory, none))
            out.push_back(entry.path().filename().string());
        std::sort(out.begin(), out.end());
        return out;
    }

    fs::path folder;
    std::vector<std::string> lines;
    std::optional<Tokenizer> tokenizer;
};

TEST_F(Tokenize, AnotherRunTakesThePlaceOfTheFirst) {
    const TokenizeResult first = run(corpus("a.jsonl", 300), 0.3);
    EXPECT_GT(names(folder / "out/train").size(), 3u);
    EXPECT_EQ(ShardSet(folder / "out/train").tokens(), first.train.tokens);
    EXPECT_EQ(ShardSet(folder / "out/val").tokens(), first.val.tokens);
    const TokenizeResult second = run(corpus("b.jsonl", 5));
    EXPECT_THAT(names(folder / "out/train"), ElementsAre("shard-00000.tnl"));
    EXPECT_EQ(ShardSet(folder / "out/train").tokens(), second.train.tokens);
    EXPECT_THAT(names(folder / "out/val"), IsEmpty());
}

TEST_F(Tokenize, InstructionsLearnTheirAnswersAndTheEnd) {
    write_file_atomic(folder / "mixed.jsonl",
                      "{\"prompt\": \"the quick\", \"completion\": \" brown fox\"}\n"
                      "{\"text\": \"the quick brown fox\"}\n");
    const TokenizeResult result = run((folder / "mixed.jsonl").string());
    EXPECT_EQ(result.read.instructions, 1);
    const ShardSet set(folder / "out/train");
    const std::vector<int32_t> prompt = tokenizer->encode("the quick"),
                               whole = tokenizer->encode("the quick brown fox");
    const auto answer = std::ssize(whole) - std::ssize(prompt);
    EXPECT_EQ(set.tokens(), 2 * std::ssize(whole) + 2);
    EXPECT_EQ(result.train.learned, answer + 1 + std::ssize(whole) + 1);
    EXPECT_EQ(set.learned_tokens(), result.train.learned);
    EXPECT_EQ(set.learned_bytes(), 10 + 19);
    std::vector<int32_t> targets(static_cast<size_t>(set.tokens())), ids = targets;
    set.read(0, set.tokens(), ids.data());
    targets = ids;
    set.mask_targets(0, set.tokens(), targets.data());
    for (size_t i = 0; i < targets.size(); ++i)
        EXPECT_EQ(targets[i], i < prompt.size() ? -1 : ids[i]) << i;
}

TEST_F(Tokenize, AFailureLeavesWhatWasThere) {
    EXPECT_THROW(run(corpus("bad.jsonl", 300, true)), Error);
    EXPECT_FALSE(fs::exists(folder / "out"));
    EXPECT_THROW(run(corpus("empty.jsonl", 0)), Error);
    EXPECT_FALSE(fs::exists(folder / "out"));
    const TokenizeResult good = run(corpus("a.jsonl", 200), 0.2);
    const auto train = names(folder / "out/train"), val = names(folder / "out/val");
    EXPECT_THROW(run(corpus("bad.jsonl", 300, true), 0.2), Error);
    EXPECT_THAT(names(folder / "out"), ElementsAre("train", "val"));
    EXPECT_EQ(names(folder / "out/train"), train);
    EXPECT_EQ(names(folder / "out/val"), val);
    EXPECT_EQ(ShardSet(folder / "out/train").tokens(), good.train.tokens);
}

} // namespace
} // namespace tnl
