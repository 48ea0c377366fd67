// Grammars of JSON Schemas: texts that are theirs and texts that are not, and masks of tokens
// against the grammar asked byte by byte.
#include "infer/json_grammar.h"
#include "infer/token_grammar.h"

#include "base/check.h"
#include "base/rng.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tnl {
namespace {

using ::testing::HasSubstr;

bool takes(GrammarWalk& walk, std::string_view text) {
    GrammarWalk::Places at = walk.begin(), next;
    for (const char c : text) {
        walk.advance(at, static_cast<unsigned char>(c), next);
        std::swap(at, next);
    }
    return walk.complete(at);
}

GrammarWalk of(const char* schema) { return json_schema_grammar(Json::parse(schema)); }

TEST(JsonGrammar, AnyObject) {
    GrammarWalk walk = any_json_object();
    for (const char* good :
         {"{}", "{ }", " {}", "{\"a\":1}", "{\"a\": [1, -2.5e+10, true, null, {\"b\": {}}]}",
          "{\n    \"a\": \"\\u00e9\\n\\\"\xE6\x9D\xB1\xF0\x9F\x98\x80\",\n    \"\": 0\n}"})
        EXPECT_TRUE(takes(walk, good)) << good;
    for (const char* bad : {"",
                            "[]",
                            "1",
                            "{",
                            "{\"a\"}",
                            "{\"a\":}",
                            "{a:1}",
                            "{\"a\":1,}",
                            "{\"a\":01}",
                            "{\"a\":+1}",
                            "{\"a\":1.}",
                            "{\"a\":.5}",
                            "{\"a\":tru}",
                            "{}}",
                            "{} ",
                            "{\"\n\":1}",
                            "{\"\\x\":1}",
                            "{\"\\ud800\":1}",
                            "{\"\xFF\":1}",
                            "{\"\xED\xA0\x80\":1}",
                            "{\"\xC0\x80\":1}",
                            "{\"a\":[1,]}",
                            "{\"a\":[1 2]}",
                            "{    \"a\":1}"})
        EXPECT_FALSE(takes(walk, bad)) << bad;
}

TEST(JsonGrammar, Schemas) {
    const struct {
        const char* schema;
        std::vector<const char*> good, bad;
    } cases[] = {
        {"true", {"1", "[]", "\"x\"", "{}"}, {"", "x"}},
        {R"({"type":"integer"})",
         {"0", "-12", "1234567890123456"},
         {"1.0", "00", "-", "12345678901234567"}},
        {R"({"type":["boolean","null"]})", {"true", "false", "null"}, {"0", "nul"}},
        {R"({"enum":["a\"b",1,null,[2]]})", {R"("a\"b")", "1", "null", "[2]"}, {"2", "[]"}},
        {R"({"type":"string","enum":["a",1]})", {R"("a")"}, {"1"}},
        {R"({"const":{"x":[]}})", {R"({"x":[]})"}, {"{}"}},
        {R"({"minLength":2,"maxLength":3})",
         {R"("ab")", R"("\u00e9東x")"},
         {R"("a")", R"("abcd")"}},
        {R"({"type":"string","minLength":1})", {R"("ab")"}, {R"("")"}},
        {R"({"items":{"type":"integer"},"minItems":1,"maxItems":2})",
         {"[1]", "[1, 2]"},
         {"[]", "[1,2,3]", "[true]"}},
        {R"({"items":{"type":"integer"},"minItems":2})", {"[1,2]", "[1,2,3,4]"}, {"[]", "[1]"}},
        {R"({"prefixItems":[{"type":"null"},{"type":"integer"}],"items":false})",
         {"[]", "[null]", "[null,3]"},
         {"[3]", "[null,3,3]"}},
        {R"({"prefixItems":[{"type":"null"}],"items":{"type":"integer"}})",
         {"[]", "[null]", "[null,3,4]"},
         {"[3]", "[null,null]"}},
        {R"({"items":{"type":"integer"}})", {"[]", "[1,2]"}, {"[1,]", "[,]"}},
        {R"({"maxItems":0})", {"[]", "[ ]"}, {"[1]"}},
        {R"({"properties":{"a":{"type":"integer"},"b/c":{"type":"null"},"d":{}},"required":["b/c"]})",
         {R"({"b/c":null})", R"({"a":1,"b/c":null,"d":[]})", R"({ "b/c": null, "d": 1 })"},
         {"{}", R"({"a":1})", R"({"b/c":null,"a":1})", R"({"b/c":null,"e":1})",
          R"({"a":1 "b/c":null})"}},
        {R"({"properties":{"a":{}},"additionalProperties":false})",
         {"{}", R"({"a":1})"},
         {R"({"b":1})"}},
        {R"({"additionalProperties":{"type":"integer"}})",
         {"{}", R"({"x":1,"y":2})"},
         {R"({"x":null})"}},
        {R"({"additionalProperties":{"type":"integer"},"required":["x"]})",
         {R"({"x":1})"},
         {"{}", R"({"x":null})"}},
        {R"({"type":"object","additionalProperties":false})", {"{}"}, {R"({"a":1})"}},
        {R"({"anyOf":[{"type":"null"},{"$ref":"#/$defs/n"}],"$defs":{"n":{"type":"integer"}}})",
         {"null", "7"},
         {"true"}},
        {R"({"properties":{"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["next"]})",
         {R"({"next":{"next":{"next":null}}})"},
         {R"({"next":{}})"}},
        {R"({"allOf":[{"type":"null"}],"title":"x","description":"y","format":"date","default":3})",
         {"null"},
         {"1"}},
    };
    for (const auto& c : cases) {
        GrammarWalk walk = of(c.schema);
        for (const char* text : c.good) EXPECT_TRUE(takes(walk, text)) << c.schema << " " << text;
        for (const char* text : c.bad) EXPECT_FALSE(takes(walk, text)) << c.schema << " " << text;
    }
}

TEST(JsonGrammar, WhatIsWrongIsNamed) {
    const auto error = [](const char* schema) {
        try {
            of(schema);
        } catch (const UsageError& e) {
            return std::string(e.what());
        }
        return std::string("taken");
    };
    EXPECT_THAT(error("3"), HasSubstr("#: 3, wanted a schema"));
    EXPECT_THAT(error(R"({"type":"float"})"),
                HasSubstr("#/type: \"float\", wanted one or a list of"));
    EXPECT_THAT(error(R"({"properties":{"a/b":{"pattern":"x"}}})"),
                HasSubstr("#/properties/a~1b/pattern: is not supported"));
    EXPECT_THAT(error(R"({"$ref":"#/$defs/x"})"),
                HasSubstr("#/$ref: \"#/$defs/x\": there is no such"));
    EXPECT_THAT(error(R"({"$ref":"http://x"})"), HasSubstr("a place in this schema"));
    EXPECT_THAT(error(R"({"$ref":"#"})"), HasSubstr("#: refers to itself"));
    EXPECT_THAT(error(R"({"anyOf":[{"type":"null"},{"anyOf":[{"$ref":"#"}]}]})"),
                HasSubstr("refers to itself"));
    EXPECT_THAT(error(R"({"anyOf":[{}],"type":"null"})"),
                HasSubstr("#/type: is not supported beside anyOf"));
    EXPECT_THAT(error(R"({"minLength":3,"maxLength":2})"), HasSubstr("at least 3, but at most 2"));
    EXPECT_THAT(error(R"({"maxItems":1000000})"), HasSubstr("#/maxItems: 1000000, wanted 0 to"));
    EXPECT_THAT(error(R"({"required":["x"],"additionalProperties":false})"), HasSubstr("forbids"));
    EXPECT_THAT(error(R"({"type":"string","enum":[1]})"), HasSubstr("no value is of the type"));
    EXPECT_THAT(error(R"({"properties":{"a":{"type":"string","minLength":9000,"maxLength":9999},
                "b":{"items":{"items":{"enum":[1]},"maxItems":10000},"maxItems":10000}}})"),
                "taken");
}

std::string base64(std::string_view bytes) {
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (size_t at = 0; at < bytes.size(); at += 3) {
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; ++i)
            bits = bits << 8 |
                   (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0u);
        for (size_t i = 0; i < 4; ++i)
            out += at + i > bytes.size() ? '=' : kDigits[bits >> (18 - 6 * i) & 63];
    }
    return out;
}

// Every byte, and what JSON is made of, cut in all ways.
Tokenizer vocabulary() {
    std::vector<std::string> tokens;
    for (int i = 0; i < 256; ++i) tokens.emplace_back(1, static_cast<char>(i));
    for (const char* token : {"{\"",         "\":",
                              "\": ",        ",\"",
                              "\",\"",       "\"}",
                              "}}",          "]}",
                              "[]",          "{}",
                              " {",          "\n  ",
                              "true",        "tru",
                              "null",        "nul",
                              "12",          "1.",
                              "e5",          "-1",
                              "abc",         "name",
                              "\"na",        "me\"",
                              "\\u",         "\\ud",
                              "00e",         "\\\"",
                              "\xE6\x9D",    "\xE6\x9D\xB1",
                              "x\xE6",       "],",
                              "], [",        "\xF0\x9F\x98\x80",
                              "hello world", " \"",
                              "\" :",        "false,"})
        tokens.emplace_back(token);
    std::string file;
    for (size_t rank = 0; rank < tokens.size(); ++rank)
        file += base64(tokens[rank]) + " " + std::to_string(rank) + "\n";
    return Tokenizer::from_bytes(file, "test");
}

TEST(TokenGrammar, MasksAreTheGrammarByteByByte) {
    const Tokenizer tokenizer = vocabulary();
    const auto table = std::make_shared<TokenTable>(tokenizer);
    const int64_t vocab = tokenizer.vocab_size() + 3;
    const std::vector<int32_t> ends = {tokenizer.eos()};
    uint64_t drawn = 0;
    for (
        const char* schema :
        {R"({"type":"object"})",
         R"({"properties":{"name":{"type":"string","maxLength":6},"n":{"items":{"type":"number"}}}})",
         R"({"anyOf":[{"type":"string"},{"type":"string","minLength":3,"maxLength":5},{"type":"null"}]})",
         R"({"items":{"enum":["abc","abd",12,null,true]},"minItems":1})"}) {
        GrammarWalk walk = of(schema);
        TokenGrammar grammar(of(schema), table, ends, vocab);
        for (uint64_t text = 0; text < 30; ++text) {
            TokenGrammar::Places places = grammar.begin();
            GrammarWalk::Places plain = walk.begin(), next;
            std::string made;
            for (int step = 0; step < 40; ++step) {
                const auto mask = grammar.mask(places);
                std::vector<int32_t> allowed;
                for (int32_t id = 0; id < tokenizer.eos(); ++id) {
                    GrammarWalk::Places at = plain;
                    for (const char c : tokenizer.token_bytes(id)) {
                        walk.advance(at, static_cast<unsigned char>(c), next);
                        std::swap(at, next);
                    }
                    ASSERT_EQ(mask->allows(id), !at.empty()) << made << " then token " << id;
                    if (!at.empty()) allowed.push_back(id);
                }
                ASSERT_EQ(mask->allows(tokenizer.eos()), walk.complete(plain)) << made;
                ASSERT_FALSE(mask->allows(static_cast<int32_t>(vocab) - 1));
                ASSERT_EQ(grammar.finished(places), walk.complete(plain) && allowed.empty());
                if (allowed.empty()) break;
                const int32_t token = allowed[Philox{text, 5}.below(drawn++, allowed.size())];
                made += tokenizer.token_bytes(token);
                grammar.advance(places, token);
                for (const char c : tokenizer.token_bytes(token)) {
                    walk.advance(plain, static_cast<unsigned char>(c), next);
                    std::swap(plain, next);
                }
            }
            if (walk.complete(plain)) {
                EXPECT_TRUE(Json::accept(made)) << made;
            }
        }
    }
}

TEST(TokenGrammar, ATokenThatMayNotComeIsRefused) {
    const Tokenizer tokenizer = vocabulary();
    TokenGrammar grammar(any_json_object(), std::make_shared<TokenTable>(tokenizer),
                         {tokenizer.eos()}, tokenizer.vocab_size());
    TokenGrammar::Places places = grammar.begin();
    EXPECT_THROW(grammar.advance(places, 'x'), Error);
}

} // namespace
} // namespace tnl
