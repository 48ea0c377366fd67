#include "serve/api_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tnl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

ApiLimits limits() {
    ApiLimits out;
    out.model = "tnl";
    out.vocab = 100;
    out.slots = 4;
    out.sampler.temperature = 0.5;
    out.sampler.logit_bias = {{100, -1}};
    return out;
}

ApiRequest completion(const std::string& body) {
    return parse_completion(parse_body(body), limits());
}
ApiRequest chat(const std::string& body) {
    return parse_chat(parse_body(body), limits(), ChatTemplate::plain());
}

// The error of a request: "status param: message".
template <class F> std::string error_of(F&& parse, const std::string& body) {
    try {
        parse(body);
    } catch (const ApiError& error) {
        return fmt::format("{} {}: {}", error.status, error.param, error.what());
    }
    return "none";
}

TEST(ApiRequest, DefaultsOfACompletion) {
    const ApiRequest r = completion(R"({"prompt": "a", "user": "x", "suffix": null})");
    ASSERT_EQ(r.prompts.size(), 1u);
    EXPECT_EQ(r.prompts[0].text, "a");
    EXPECT_TRUE(r.prompts[0].is_text);
    EXPECT_EQ(r.max_tokens, 16);
    EXPECT_EQ(r.n, 1);
    EXPECT_EQ(r.best_of, 1);
    EXPECT_FALSE(r.stream || r.echo || r.seeded || r.logprobs);
    EXPECT_EQ(r.sampler.temperature, 0.5); // the server's
    EXPECT_EQ(r.sampler.top_p, 1);
}

TEST(ApiRequest, EveryFieldArrives) {
    const ApiRequest r = completion(
        R"({"model": "tnl", "prompt": [[1, 2], [99]], "max_tokens": 0, "echo": true, "n": 2,
            "best_of": 3, "logprobs": 5, "stop": ["x", ""], "seed": -1, "temperature": 0,
            "top_p": 0.9, "top_k": 7, "min_p": 0.1, "repetition_penalty": 1.2,
            "presence_penalty": -1, "frequency_penalty": 2, "logit_bias": {"3": -100},
            "ignore_eos": true})");
    ASSERT_EQ(r.prompts.size(), 2u);
    EXPECT_THAT(r.prompts[0].ids, ElementsAre(1, 2));
    EXPECT_THAT(r.prompts[1].ids, ElementsAre(99));
    EXPECT_EQ(r.max_tokens, 0);
    EXPECT_TRUE(r.echo && r.seeded && r.ignore_eos);
    EXPECT_EQ(r.n, 2);
    EXPECT_EQ(r.best_of, 3);
    EXPECT_EQ(r.logprobs, 5);
    EXPECT_THAT(r.stops, ElementsAre("x"));
    EXPECT_EQ(r.sampler.seed, UINT64_MAX);
    EXPECT_EQ(r.sampler.temperature, 0);
    EXPECT_EQ(r.sampler.top_p, 0.9);
    EXPECT_EQ(r.sampler.top_k, 7);
    EXPECT_EQ(r.sampler.min_p, 0.1);
    EXPECT_EQ(r.sampler.repetition_penalty, 1.2);
    EXPECT_EQ(r.sampler.presence_penalty, -1);
    EXPECT_EQ(r.sampler.frequency_penalty, 2);
    EXPECT_THAT(r.sampler.logit_bias, ElementsAre(Pair(100, -1), Pair(3, -100)));
}

TEST(ApiRequest, TopPOfZeroIsTheLikeliest) {
    const ApiRequest r = completion(R"({"prompt": "a", "top_p": 0})");
    EXPECT_EQ(r.sampler.top_p, 1);
    EXPECT_EQ(r.sampler.top_k, 1);
}

TEST(ApiRequest, ErrorsNameFieldValueAndWhatIsRight) {
    const auto error = [](const std::string& fields) {
        return error_of(completion, R"({"prompt": "a", )" + fields + "}");
    };
    EXPECT_EQ(error(R"("model": "gpt")"),
              "404 model: model \"gpt\" is not served here; the only one is tnl");
    EXPECT_EQ(error(R"("n": 5)"), "400 n: n is 5, wanted a whole number from 1 to 4");
    EXPECT_EQ(error(R"("temperature": "hot")"),
              "400 temperature: temperature is \"hot\", wanted a number from 0 to 100");
    EXPECT_EQ(error(R"("max_tokens": 1.5)"),
              "400 max_tokens: max_tokens is 1.5, wanted a whole number from 0 on");
    EXPECT_EQ(
        error(R"("max_tokens": 18446744073709551615)"),
        "400 max_tokens: max_tokens is 18446744073709551615, wanted a whole number from 0 on");
    EXPECT_EQ(error(R"("logit_bias": {"100": 1})"),
              "400 logit_bias: logit_bias: \"100\", wanted a token id from 0 to 99");
    EXPECT_THAT(error(R"("n": 1, "best_of": 2, "stream": true)"), HasSubstr("cannot be streamed"));
    EXPECT_EQ(error_of(completion, R"({"prompt": [1, 100]})"),
              "400 prompt: prompt: item 1 is 100, wanted a token id from 0 to 99");
    EXPECT_EQ(error_of(completion, R"({"prompt": [[]]})"),
              "400 prompt: prompt is [], wanted at least one token");
    EXPECT_THAT(error_of(completion, "[]"), HasSubstr("wanted a JSON object"));
    EXPECT_THAT(error_of(completion, "{\"prompt\": \"\xff\"}"), HasSubstr("400 : request body"));
}

TEST(ApiRequest, AChatIsRenderedByItsTemplate) {
    const ApiRequest r = chat(
        R"({"messages": [{"role": "developer", "content": "Be kind."},
                         {"role": "user", "content": [{"type": "text", "text": "H"},
                                                      {"type": "text", "text": "i"}]},
                         {"role": "assistant", "content": "Hello"},
                         {"role": "user", "content": "Bye"}],
            "max_completion_tokens": 3, "max_tokens": 9, "logprobs": true, "top_logprobs": 2})");
    ASSERT_EQ(r.prompts.size(), 1u);
    EXPECT_EQ(r.prompts[0].text, "System: Be kind.\n\nUser: Hi\n\nAssistant: Hello\n\nUser: Bye\n\n"
                                 "Assistant:");
    EXPECT_EQ(r.max_tokens, 3);
    EXPECT_EQ(r.logprobs, 2);
    EXPECT_THAT(r.stops, ElementsAre("\nUser:", "\nSystem:"));
    EXPECT_TRUE(r.chat);
}

TEST(ApiRequest, WrongChats) {
    EXPECT_THAT(error_of(chat, "{}"), HasSubstr("400 messages: messages is missing"));
    EXPECT_THAT(error_of(chat, R"({"messages": []})"), HasSubstr("at least one"));
    EXPECT_THAT(error_of(chat, R"({"messages": [{"role": "cat", "content": "miau"}]})"),
                HasSubstr("role is cat, wanted one of assistant, system, user"));
    EXPECT_THAT(error_of(chat, R"({"messages": [{"role": "user"}]})"),
                HasSubstr("content is missing"));
    EXPECT_THAT(
        error_of(chat, R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})"),
        HasSubstr("only parts of type text"));
    EXPECT_THAT(
        error_of(chat, R"({"tools": [{}], "messages": [{"role": "user", "content": "a"}]})"),
        HasSubstr("400 tools: tools is not supported"));
}

} // namespace
} // namespace tnl
