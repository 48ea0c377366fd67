#include "base/json.h"

#include <gtest/gtest.h>

#include <string>

namespace tnl {
namespace {

std::string error_of(const std::string& text) {
    try {
        parse_json(text, "file.jsonl:7");
    } catch (const std::exception& e) {
        return e.what();
    }
    return "";
}

TEST(Json, ErrorsNameThePlaceAndStayShort) {
    const std::string short_one = error_of("{\"a\": 1,\n \"b\" 2}");
    EXPECT_NE(short_one.find("file.jsonl:7: invalid JSON at line 2, column"), std::string::npos);
    for (const std::string word : {"x", "\xc3\x84", "\xe2\x82\xac"}) { // of one to three bytes
        std::string text = "{\"text\": \"";
        for (int i = 0; i < 100000; ++i) text += word;
        const std::string error = error_of(text); // its end is missing
        EXPECT_NE(error.find("missing closing quote"), std::string::npos);
        EXPECT_LT(error.size(), 300u);
        EXPECT_EQ(error.substr(error.size() - 4), " ...");
        // No character is cut.
        EXPECT_EQ(error.substr(error.size() - 4 - word.size(), word.size()), word);
    }
}

} // namespace
} // namespace tnl
