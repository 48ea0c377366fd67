#include "serve/api_error.h"
#include "serve/api_response.h"
#include "serve/logprobs.h"
#include "serve/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace tnl {
namespace {

using testing::HasSubstr;

const AnswerFrame kText{false, "cmpl-1", "tnl", 7}, kChat{true, "chatcmpl-1", "tnl", 7};

TEST(ApiResponse, ACompletion) {
    const Json choices = Json::array({kText.choice(0, "x", nullptr, "stop")});
    EXPECT_EQ(dump(kText.whole(choices, {2, 3})),
              R"({"id":"cmpl-1","object":"text_completion","created":7,"model":"tnl","choices":)"
              R"([{"index":0,"text":"x","logprobs":null,"finish_reason":"stop"}],)"
              R"("usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5}})");
}

TEST(ApiResponse, PartsOfAChat) {
    const auto choice = [](const Json& part) { return dump(part["choices"][0]); };
    EXPECT_EQ(kChat.part(1, "x", nullptr, "")["object"], "chat.completion.chunk");
    EXPECT_EQ(choice(kChat.role_part(1)), R"({"index":1,"delta":{"role":"assistant","content":""},)"
                                          R"("logprobs":null,"finish_reason":null})");
    EXPECT_EQ(choice(kChat.part(1, "x", nullptr, "")),
              R"({"index":1,"delta":{"content":"x"},"logprobs":null,"finish_reason":null})");
    EXPECT_EQ(choice(kChat.part(1, "", nullptr, "length")),
              R"({"index":1,"delta":{},"logprobs":null,"finish_reason":"length"})");
    EXPECT_EQ(sse(Json{{"a", 1}}), "data: {\"a\":1}\n\n");
}

TEST(ApiResponse, AnErrorHasAllFields) {
    EXPECT_EQ(dump(error_json(too_busy("full"))),
              R"({"error":{"message":"full","type":"rate_limit_error","param":null,)"
              R"("code":"queue_full"}})");
}

// Pieces of a tokenizer trained on very little: mostly bytes.
const Tokenizer& tokenizer() {
    static const Tokenizer shared = [] {
        int line = 0;
        TokenizerTraining options;
        options.vocab_size = 300;
        return Tokenizer::from_bytes(
            train_tokenizer(options,
                            [&](std::string& text) {
                                text = "the king said unto the people, and the people said";
                                return ++line < 50;
                            }),
            "test");
    }();
    return shared;
}

TEST(Logprobs, ScoresOfACompletion) {
    const std::vector<int32_t> ids = tokenizer().encode("the \u00e4");
    Logprobs logprobs(tokenizer(), 1, true);
    logprobs.add_unscored(ids[0]);
    for (size_t i = 1; i < ids.size(); ++i)
        logprobs.add({ids[i], -2.5f, {{ids[0], -0.125f}, {ids[1], -1.0f}}});
    logprobs.add({tokenizer().eos(), -INFINITY, {{tokenizer().eos(), -INFINITY}}});
    const Json json = logprobs.take_completion();
    const size_t n = ids.size() + 1;
    for (const char* field : {"tokens", "token_logprobs", "top_logprobs", "text_offset"})
        EXPECT_EQ(json[field].size(), n) << field;
    EXPECT_EQ(json["tokens"][0].get<std::string>().front(), 't'); // no leading space
    EXPECT_TRUE(json["token_logprobs"][0].is_null() && json["top_logprobs"][0].is_null());
    // The likeliest, and the one chosen.
    EXPECT_EQ(json["top_logprobs"][1].size(), 2u);
    EXPECT_EQ(json["token_logprobs"][1], -2.5);
    EXPECT_EQ(json["token_logprobs"][n - 1], -9999.0);
    EXPECT_EQ(json["tokens"][n - 1], "</s>");
    // The two bytes of the last letter are tokens of their own, and one character.
    EXPECT_EQ(json["tokens"][n - 2], "bytes:\\xa4");
    EXPECT_EQ(json["text_offset"][n - 2], 5);
    EXPECT_EQ(json["text_offset"][n - 3], 4);
    EXPECT_EQ(logprobs.take_completion()["tokens"].size(), 0u);
}

TEST(Logprobs, OfTokensWithOneNameTheLikeliestCounts) {
    // The piece "t" and the byte 't' have the same text.
    int32_t piece = -1, byte = -1;
    for (int32_t id = 0; id < tokenizer().vocab_size(); ++id) {
        if (tokenizer().token_bytes(id) != "t") continue;
        (tokenizer().piece(id) == "t" ? piece : byte) = id;
    }
    ASSERT_TRUE(piece >= 0 && byte >= 0);
    Logprobs logprobs(tokenizer(), 2, false);
    logprobs.add({byte, -3, {{piece, -1}, {byte, -3}}});
    const Json top = logprobs.take_completion()["top_logprobs"][0];
    EXPECT_EQ(top["t"], -1.0);
}

TEST(Metrics, HistogramsAreCumulative) {
    Histogram h;
    for (const double seconds : {0.0005, 0.002, 0.002, 100.0}) h.add(seconds);
    const std::string text = h.text("x", "help");
    EXPECT_THAT(text, HasSubstr("transnormer_x_bucket{le=\"0.001\"} 1\n"));
    EXPECT_THAT(text, HasSubstr("transnormer_x_bucket{le=\"0.0025\"} 3\n"));
    EXPECT_THAT(text, HasSubstr("transnormer_x_bucket{le=\"60\"} 3\n"));
    EXPECT_THAT(text, HasSubstr("transnormer_x_bucket{le=\"+Inf\"} 4\n"));
    EXPECT_THAT(text, HasSubstr("transnormer_x_count 4\n"));
}

} // namespace
} // namespace tnl
