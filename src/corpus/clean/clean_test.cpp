#include "corpus/clean/clean.h"
#include "text/utf8.h"

#include <gtest/gtest.h>

namespace tnl::corpus {
namespace {

std::string cleaned(std::string_view text, const CleanRules& rules = {}) {
    std::string out;
    clean(rules, text, out);
    return out;
}

TEST(Clean, TagsAndEntities) {
    EXPECT_EQ(cleaned("<p class=\"a>b\">One &amp; <b>two</b><br/>three</p>"), "One & two\nthree");
    EXPECT_EQ(cleaned("a<script>if (a < b) x('</b>');</script>b<!-- c\n -->d"), "abd");
    EXPECT_EQ(cleaned("<TABLE><tr><td>1</td><td>2</td></tr></TABLE>"), "1 2");
    EXPECT_EQ(cleaned("&lt;&#65;&#x4e2d;&nbsp;x &unknown; &#0; AT&T"),
              "<A中 x &unknown; &#0; AT&T");
    for (const char* text : {"if a < b and c > d", "#include <stdio.h>", "x <- y",
                             "<3 <unknown> <a", "List<T>", "1<p"})
        EXPECT_EQ(cleaned(text), text);
}

TEST(Clean, Addresses) {
    EXPECT_EQ(cleaned("See https://a.example/b?c=d#e, or (www.x.org/y_(z)) now."),
              "See , or () now.");
    EXPECT_EQ(cleaned("A [link](http://a.b/c_(d) \"t\") and ![picture](https://x.y/z.png)."),
              "A link and picture.");
    EXPECT_EQ(cleaned("<http://a.b>x 请看http://例.com/路。好"), "x 请看。好");
    for (const char* text :
         {"http is a word", "xhttp://a", "http:// alone", "[1](2) [a] (b)", "www."})
        EXPECT_EQ(cleaned(text), text);
}

TEST(Clean, CharactersAndDigits) {
    EXPECT_EQ(cleaned("a\r\nb\rc\u2028d\u0085e"), "a\nb\nc\nd\ne");
    EXPECT_EQ(cleaned("a\u00a0b\u3000c\td\u2003 \u200be"), "a b c d e");
    EXPECT_EQ(cleaned("soft\u00adhy\ufeffphen\x01\x7f\u0090\ue000."), "softhyphen.");
    EXPECT_EQ(cleaned("👩\u200d🚀 می\u200cخواهم"), "👩\u200d🚀 می\u200cخواهم");
    EXPECT_EQ(cleaned("１２３ 𝟗𝟘 ١٢"), "123 90 ١٢");
}

TEST(Clean, RepeatedPunctuation) {
    EXPECT_EQ(cleaned("What!!!! Why??? Well,,, so…… on..... ok.. a::b 好！！！"),
              "What! Why? Well, so… on... ok.. a::b 好！");
    EXPECT_EQ(cleaned("words ---------- go on\n###### Heading\n**bold** ||"),
              "words --- go on\n###### Heading\n**bold** ||");
}

TEST(Clean, MarkdownAndLatexStay) {
    const char* const texts[] = {
        "# Title\n\n- a\n- b\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> quoted *text*",
        "```html\n<p>a  b</p>   \n\n\n\nhttp://x.y!!!!\n```",
        "Code `<b>!!!!</b>  http://a.b` inline and ``a`b  c``.",
        "Let $a<b>c$ and $$\n<p> x  !!! \n$$ hold.",
        "\\begin{align}\nx &<i  y \\\\!!!!\n\\end{align}",
        "So \\(a  !!\\) and \\[<b> http://x.y\\].",
        "    indented code",
    };
    for (const char* text : texts) EXPECT_EQ(cleaned(text), text);
    EXPECT_EQ(cleaned("It costs $5 <b>or</b> $6!!!"), "It costs $5 or $6!"); // no formula
    EXPECT_EQ(cleaned("```\nnot closed <b>!!!</b>"), "```\nnot closed !");
}

TEST(Clean, GarbledLines) {
    const std::string good = "A line of words, as it should be.";
    const std::string encoded(20, 'x');
    std::string base64;
    for (int i = 0; i < 40; ++i) base64 += "aB3";
    for (const std::string& bad :
         {std::string("caf\u00c3\u00a9 na\u00c3\u00afve d\u00c3\u00a9j\u00c3\u00a0"),
          std::string("it\u00e2\u20ac\u2122s \u00e2\u20ac\u0153so\u00e2\u20ac\u009d"),
          std::string("a\ufffdb\ufffdc\ufffd"), base64, std::string("#%^ &*( @!) ~~} {][ ;: x")}) {
        EXPECT_TRUE(is_garbled(bad)) << bad;
        EXPECT_EQ(cleaned(good + "\n" + bad + "\n" + good), good + "\n" + good) << bad;
    }
    for (const std::string& fine :
         {good, std::string("|---|:--:|---|---|"), std::string("* * * * * * * * * *"),
          std::string("Ã é à são"), std::string("中文也是字。"), std::string(150, 'a'),
          std::string("हिन्दी में लिखा हुआ वाक्य"), std::string(":-) !?")})
        EXPECT_FALSE(is_garbled(fine)) << fine;
    std::string out;
    const Cleaned counts = clean({}, base64 + "\n" + std::string(30, 'b'), out);
    EXPECT_EQ(counts.share(), 120.0 / 150);
}

TEST(Clean, LinesAreTidy) {
    EXPECT_EQ(cleaned("\n\n  a   b  \n\n\n\nc \n\n"), "  a b\n\nc");
    EXPECT_EQ(cleaned(" \n \n"), "");
    EXPECT_EQ(cleaned(""), "");
}

// Nothing that a text may hold makes invalid UTF-8, or takes long; what is clean stays as it is.
TEST(Clean, AnyText) {
    const char* const parts[] = {
        "<p>", "</p>",  "<a href='", "'>",          "$",    "$$",     "`",          "```",
        "\n",  "\n\n",  "~~~ x",     "http://a.b/", "[",    "](",     ")",          "&#",
        "65;", "&amp;", "!!!",       "é",           "字",   "😀",      "\\begin{a}", "\\end{a}",
        "\\(", "\\)",   " ",         "  ",          "word", "\u00ad", "<!--",       "-->"};
    uint64_t state = 7;
    for (int round = 0; round < 1000; ++round) {
        std::string text;
        for (int i = 0; i < 40; ++i) {
            state = state * 6364136223846793005 + 1442695040888963407;
            text += parts[(state >> 33) % std::size(parts)];
        }
        const std::string once = cleaned(text);
        ASSERT_EQ(first_invalid_utf8(once), std::string::npos) << text;
    }
    for (const char* part :
         {"$a ", "~~~ x\n", "[", "<a ", "`a", "\\begin{a}", "\\(", "<script>", "](", "&#"}) {
        std::string text;
        for (int i = 0; i < 20000; ++i) text += part;
        EXPECT_LE(cleaned(text).size(), text.size());
    }
}

} // namespace
} // namespace tnl::corpus
