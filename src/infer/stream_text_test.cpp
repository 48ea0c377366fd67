#include "infer/stream_text.h"

#include <gtest/gtest.h>

namespace tnl {
namespace {

// A tokenizer trained on ASCII alone: everything else falls back to bytes.
const Tokenizer& tokenizer() {
    static const Tokenizer t = [] {
        int line = 0;
        TokenizerTraining options;
        options.vocab_size = 320;
        options.threads = 1;
        const std::string words[] = {"the ",  "stream ", "of ",    "tokens ", "stops ",
                                     "here ", "and ",    "there ", "User: ",  "never\t"};
        return Tokenizer::from_bytes(
            train_tokenizer(options,
                            [&](std::string& out) {
                                out.clear();
                                for (int i = 0; i < 12; ++i)
                                    out += words[static_cast<size_t>((line * 7 + i * i) % 10)];
                                return ++line < 300;
                            }),
            "trained here");
    }();
    return t;
}

struct Shown {
    std::string text;
    std::vector<std::string> pieces; // not empty ones
    bool stopped = false;
};

Shown show(const std::vector<int32_t>& tokens, std::vector<std::string> stops = {},
           bool after_text = false) {
    StreamText stream(tokenizer(), std::move(stops), after_text);
    Shown out;
    auto take = [&](const std::string& piece) {
        out.text += piece;
        if (!piece.empty()) out.pieces.push_back(piece);
    };
    for (const int32_t token : tokens) take(stream.push(token));
    take(stream.finish());
    out.stopped = stream.stopped();
    return out;
}

TEST(StreamText, IsTheDecodedTextInWholeCharacters) {
    for (const std::string text :
         {"the stream of tokens", "\u00fc\u4e2d\u6587 of \U0001F600 tokens",
          "\U0001F469\u200D\U0001F680"}) {
        const auto tokens = tokenizer().encode(text);
        ASSERT_GT(tokens.size(), 3u);
        const Shown shown = show(tokens);
        EXPECT_EQ(shown.text, tokenizer().decode(tokens));
        EXPECT_EQ(shown.text, text);
        for (const std::string& piece : shown.pieces)
            EXPECT_EQ(first_invalid_utf8(piece), std::string::npos) << piece;
    }
}

TEST(StreamText, ByteFallbackWaitsForTheWholeCharacter) {
    const auto tokens = tokenizer().encode("\U0001F600");
    StreamText stream(tokenizer(), {}, false);
    int silent = 0;
    std::string text;
    for (const int32_t token : tokens) {
        const std::string piece = stream.push(token);
        silent += piece.empty();
        text += piece;
    }
    EXPECT_EQ(text, "\U0001F600");
    EXPECT_GE(silent, 3) << "four byte tokens, of which only the last shows anything";
    EXPECT_EQ(stream.finish(), "");
}

TEST(StreamText, AnUnfinishedCharacterIsReplacedAtTheEnd) {
    auto tokens = tokenizer().encode("of\U0001F600");
    tokens.pop_back();
    EXPECT_EQ(show(tokens).text, "of\uFFFD");
}

TEST(StreamText, TheLeadingSpaceBelongsToAContinuation) {
    const auto tokens = tokenizer().encode("of tokens");
    ASSERT_TRUE(tokenizer().adds_leading_space());
    EXPECT_EQ(show(tokens, {}, false).text, "of tokens");
    EXPECT_EQ(show(tokens, {}, true).text, " of tokens");
}

TEST(StreamText, StopStringsAcrossTokensAreNeverShown) {
    const std::string text = "the stream of \u4e2d tokens stops User: never here";
    const auto tokens = tokenizer().encode(text);
    for (const std::string stop : {"User:", "stops User", "\u4e2d", "k", "e"}) {
        const Shown shown = show(tokens, {stop});
        EXPECT_TRUE(shown.stopped);
        EXPECT_EQ(shown.text, text.substr(0, text.find(stop))) << stop;
    }
    const Shown whole = show(tokens, {"User: always", "heres"});
    EXPECT_FALSE(whole.stopped);
    EXPECT_EQ(whole.text, text);
}

TEST(StreamText, AStopStringMayBeTheReplacementCharacter) {
    auto tokens = tokenizer().encode("of\U0001F600");
    tokens.pop_back();
    const Shown shown = show(tokens, {"\uFFFD"});
    EXPECT_TRUE(shown.stopped);
    EXPECT_EQ(shown.text, "of");
}

} // namespace
} // namespace tnl
