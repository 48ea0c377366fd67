#include "base/check.h"
#include "base/file.h"
#include "text/encode.h"

#include <gmock/gmock.h>

#include <filesystem>

namespace tnl {
namespace {

using ::testing::HasSubstr;

DocumentText parse(const std::string& line, Records records = Records::automatic,
                   const ChatTemplate& format = ChatTemplate::plain()) {
    return parse_record(line, "f.jsonl:7", records, "text", format);
}
std::string error_of(const std::string& line, Records records = Records::automatic) {
    try {
        parse(line, records);
    } catch (const Error& e) {
        return e.what();
    }
    ADD_FAILURE() << "no error for " << line;
    return "";
}
// What is to be learned, between brackets.
std::string marked(const DocumentText& document) {
    std::string out = document.text;
    for (size_t i = document.learned.size(); i-- > 0;) {
        out.insert(document.learned[i].end, "]");
        out.insert(document.learned[i].begin, "[");
    }
    return out;
}

const char* const kChat =
    R"({"messages": [{"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"}, {"role": "assistant", "content": "So long"}]})";

TEST(Record, InstructionsLearnTheirAnswers) {
    EXPECT_EQ(marked(parse(R"({"prompt": "1+1=", "completion": "2"})")), "1+1=[2]");
    EXPECT_EQ(marked(parse(R"({"prompt": "", "completion": " 2"})")), "[ 2]");
    EXPECT_EQ(marked(parse(R"({"instruction": "Add", "input": "1 1", "output": "2"})")),
              "User: Add\n\n1 1\n\nAssistant:[ 2]");
    for (const char* none : {R"(, "input": "")", R"(, "input": null)", ""})
        EXPECT_EQ(marked(parse(fmt::format(R"({{"instruction": "Add"{}, "output": "2"}})", none))),
                  "User: Add\n\nAssistant:[ 2]");
    const DocumentText chat = parse(kChat);
    EXPECT_EQ(marked(chat), "System: Be brief.\n\nUser: Hi\n\nAssistant:[ Hello\n\n]User: "
                            "Bye\n\nAssistant:[ So long]");
    EXPECT_TRUE(chat.instruct);
    EXPECT_EQ(chat.learned_bytes(), 16);
}

TEST(Record, TheTemplateIsThatOfServing) {
    ChatTemplate format;
    format.begin = "<s>";
    format.roles = {{"user", {"<u>", "</u>"}}, {"assistant", {"<a>", "</a>"}}};
    EXPECT_EQ(marked(parse(R"({"messages": [{"role": "user", "content": "Hi"},
                               {"role": "assistant", "content": "Yo"}]})",
                           Records::automatic, format)),
              "<s><u>Hi</u><a>[Yo]");
    // What serving continues is what training has before each reply.
    const std::vector<ChatMessage> chat = {
        {"user", "Hi"}, {"assistant", "Hello"}, {"user", "Bye"}, {"assistant", "So long"}};
    const ChatTemplate plain = ChatTemplate::plain();
    const ChatTemplate::Lesson lesson = plain.lesson(chat);
    for (const size_t reply : {1, 3}) {
        const std::string served =
            plain.render({chat.begin(), chat.begin() + static_cast<int>(reply)});
        EXPECT_EQ(lesson.text.substr(0, lesson.learned[reply / 2].begin), served);
    }
}

TEST(Record, WhatARecordIs) {
    const std::string both = R"({"text": "all", "prompt": "a", "completion": "b"})";
    EXPECT_EQ(marked(parse(both)), "a[b]");
    EXPECT_EQ(marked(parse(both, Records::text)), "all");
    EXPECT_FALSE(parse(both, Records::text).instruct);
    EXPECT_EQ(parse(R"({"text": "all", "prompt": "of something else"})").text, "all");
    EXPECT_THAT(error_of(R"({"text": "all"})", Records::instruct), HasSubstr("'prompt'"));
}

TEST(Record, ErrorsNamePlaceFieldAndWhatIsWanted) {
    for (const auto& [line, parts] : std::vector<std::pair<std::string, std::vector<std::string>>>{
             {R"({"prompt": "a", "completion": " \n"})", {"'completion'", "to be learned"}},
             {R"({"prompt": "a"})", {"'completion'"}},
             {R"({"prompt": 1, "completion": "b"})", {"'prompt'", "number", "a string"}},
             {R"({"instruction": "a", "output": ""})", {"'output'", "to be learned"}},
             {R"({"instruction": "a", "input": [], "output": "b"})", {"'input'", "array"}},
             {R"({"messages": {}})", {"'messages'", "a list"}},
             {R"({"messages": [{"role": "user", "content": "a"}]})", {"ends with role \"user\""}},
             {R"({"messages": [{"role": "tool", "content": "a"}]})",
              {"messages[0]", "\"tool\"", "assistant, system, user"}},
             {R"({"messages": [{"role": "assistant", "content": null}]})",
              {"messages[0]", "'content'", "null"}},
             {R"({"question": "a"})", {"'text'", "'messages'", "'prompt' and 'completion'"}},
             {R"([1])", {"array", "an object"}},
             {R"({"prompt": )", {}}}) {
        const std::string error = error_of(line);
        EXPECT_THAT(error, HasSubstr("f.jsonl:7")) << line;
        for (const std::string& part : parts) EXPECT_THAT(error, HasSubstr(part)) << line;
    }
}

class EncodeText : public ::testing::Test {
  protected:
    static const Tokenizer& tokenizer() {
        static const Tokenizer one = [] {
            int lines = 0;
            TokenizerTraining training;
            training.vocab_size = 330;
            return Tokenizer::from_bytes(
                train_tokenizer(training,
                                [&](std::string& line) {
                                    line = fmt::format("User: Hello there {} Assistant: So long",
                                                       lines);
                                    return lines++ < 300;
                                }),
                "small");
        }();
        return one;
    }
};

TEST_F(EncodeText, IsWhatServingReadsAndThenTheReply) {
    const Tokenizer& t = tokenizer();
    const std::vector<ChatMessage> chat = {{"user", "Hello there"},
                                           {"assistant", "So long, \xF0\x9F\x98\x80!"}};
    ChatTemplate::Lesson lesson = ChatTemplate::plain().lesson(chat);
    const EncodedText got = encode_text(t, {lesson.text, true, lesson.learned});
    const std::vector<int32_t> prompt = t.encode(ChatTemplate::plain().render({chat[0]}));
    EXPECT_EQ(got.ids, t.encode(lesson.text));
    ASSERT_EQ(got.learned.size(), got.ids.size());
    for (size_t i = 0; i < got.ids.size(); ++i)
        EXPECT_EQ(got.learned[i], i < prompt.size() ? 0 : 1) << i;
    EXPECT_TRUE(std::equal(prompt.begin(), prompt.end(), got.ids.begin()));
    // Later replies, too, and nothing between them.
    lesson = ChatTemplate::plain().lesson({chat[0], chat[1], chat[0], chat[1]});
    const EncodedText both = encode_text(t, {lesson.text, true, lesson.learned});
    std::string learned;
    for (size_t i = 0; i < both.ids.size(); ++i)
        if (both.learned[i]) learned += t.token_bytes(both.ids[i]);
    EXPECT_EQ(learned, " So long, \xF0\x9F\x98\x80!\n\n So long, \xF0\x9F\x98\x80!");
}

TEST_F(EncodeText, LongTextsKeepTheirPlaces) {
    std::string text;
    while (text.size() < 100'000) text += "Hello there so long ";
    const size_t begin = text.size();
    text += "the answer";
    const EncodedText got = encode_text(tokenizer(), {text, true, {{begin, text.size()}}});
    EXPECT_EQ(got.ids, tokenizer().encode(text));
    std::string learned;
    for (size_t i = 0; i < got.ids.size(); ++i)
        if (got.learned[i]) learned += tokenizer().token_bytes(got.ids[i]);
    EXPECT_EQ(learned, " the answer");
    EXPECT_TRUE(encode_text(tokenizer(), {text, false, {}}).learned.empty());
}

} // namespace
} // namespace tnl
