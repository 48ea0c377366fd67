#include "corpus/rules/document.h"
#include "corpus/words/lexicon.h"

#include <gtest/gtest.h>

#include <span>

namespace tnl::corpus {
namespace {

// Words and sentences that spaCy 3.8.18 makes of a text, through datatrove 0.10.1.
struct Case {
    const char *text, *words; // words between |
    size_t sentences;
};

constexpr Case kEnglish[] = {
    {"Mr. O'Neill's dog (a 10-year-old) ate 3km of rope, didn't it?",
     "Mr.|O'Neill|'s|dog|(|a|10|-|year|-|old|)|ate|3|km|of|rope|,|did|n't|it|?", 1},
    {"We'll go to the U.S. at 10a.m. or 11 p.m.; cannot wait :-) !!",
     "We|'ll|go|to|the|U.S.|at|10|a.m.|or|11|p.m.|;|can|not|wait|:-)|!|!", 1},
    {"See https://www.example.com/a?b=1#c, user@host.org and 192.168.0.1 (not 8.8.8.8:80).",
     "See|https://www.example.com/a?b=1#c|,|user@host.org|and|192.168.0.1|(|not|8.8.8.8:80|)|.", 1},
    {"\"Well,\" she said--slowly--\"that’s gonna cost US$5.00, £3 or 10€.\"",
     "\"|Well|,|\"|she|said|--|slowly--\"that|’s|gon|na|cost|US$|5.00|,|£|3|or|10€.|\"", 1},
    {"vitamin a.) and b. are i.e. e.g. and/or w/o 'em",
     "vitamin|a.|)|and|b.|are|i.e.|e.g.|and/or|w/o|'em", 1},
    {"foo.Bar foo.bar A.B. AB. ab. 5. °C. x°F. 30%. (1) [2] {3}",
     "foo|.|Bar|foo.bar|A.B.|AB|.|ab|.|5|.|°|C|.|x|°|F|.|30|%|.|(|1|)|[|2|]|{|3|}", 8},
    {"a,b a-b 1-2 1-b a:b a/b 1/2 a=b <tag> x+y 2+2 2^3",
     "a|,|b|a|-|b|1|-|2|1|-|b|a|:|b|a|/|b|1/2|a|=|b|<|tag|>|x+y|2|+|2|2|^|3", 1},
    {"...and then… nothing…… .... .", "...|and|then|…|nothing|……|....|.", 1},
    {"  two  spaces\n\nand\tlines\r\nhere \u00A0x\u3000y", "two|spaces|and|lines|here|x|y", 1},
    {"(That's) 'tis 'Cause ’Cause ‘quoted’ ''x''",
     "(|That|'s|)|'|tis|'Cause|’Cause|‘|quoted|’|''|x|''", 1},
    {"中文字。没有空格！“引用”（括号）1,000元 3.14", "中文字。没有空格！“引用”（括号）1,000元|3.14",
     1},
    {"हिन्दी। العربية؟ ١٢٣ ελληνικά; кошка-собака 5км/ч.",
     "हिन्दी|।|العربية|؟|١٢٣|ελληνικά|;|кошка|-|собака|5|км/ч|.", 3},
    {"C++ C# .NET a_b __init__ #tag @name $HOME ~/x",
     "C++|C|#|.NET|a_b|_|_|init|_|_|#|tag|@name|$|HOME|~/x", 1},
    {"5'10\" 1990s '90s rock'n'roll o'clock ma'am y'all",
     "5'10|\"|1990s|'|90s|rock'n'roll|o'clock|ma'am|y'|all", 1},
    {"🙂🙂 👍🏽x ☺️. →a ©2020 ™", "🙂|🙂|👍|🏽x|☺|️.|→a|©|2020|™",
     1},
    {":)) :-( <3 </3 ><(((*> ._. o.O 0_0 (^_^) (╯°□°）╯︵┻━┻",
     ":))|:-(|<3|</3|><(((*>|._.|o.O|0_0|(^_^)|(╯°□°）╯︵┻━┻", 1},
    {"http://a.b www.x http://10.0.0.1/ ftp://f.example.co.uk:21/p/ mailto:me@x.org a.b@c.d",
     "http://a.b|www.x|http://10.0.0.1/|ftp://f.example.co.uk:21/p/|mailto:me@x.org|a.b@c.d", 1},
    {"Dr.Who Inc.com Jan.1 St.Paul's No.5 p.5", "Dr.|Who|Inc.com|Jan.1|St.|Paul|'s|No.5|p.5", 1},
    {"1.2.3.4 256.1.1.1 1.2.3 v1.2.3-beta", "1.2.3.4|256.1.1.1|1.2.3|v1.2.3|-|beta", 1},
    {"end of line.\nNext one?Yes!No", "end|of|line|.|Next|one?Yes!No", 2},
};

constexpr Case kCommon[] = {
    {"Mr. O'Neill's dog (a 10-year-old) ate 3km of rope, didn't it?",
     "Mr|.|O'Neill|'s|dog|(|a|10-year|-|old|)|ate|3|km|of|rope|,|didn't|it|?", 2},
    {"We'll go to the U.S. at 10a.m. or 11 p.m.; cannot wait :-) !!",
     "We'll|go|to|the|U.S.|at|10a.m|.|or|11|p.m|.|;|cannot|wait|:-)|!|!", 3},
    {"\"Well,\" she said--slowly--\"that’s gonna cost US$5.00, £3 or 10€.\"",
     "\"|Well|,|\"|she|said|--|slowly--\"that|’s|gonna|cost|US$|5.00|,|£|3|or|10€.|\"", 1},
    {"vitamin a.) and b. are i.e. e.g. and/or w/o 'em",
     "vitamin|a.|)|and|b.|are|i.e|.|e.g|.|and|/|or|w|/|o|'|em", 3},
    {"a,b a-b 1-2 1-b a:b a/b 1/2 a=b <tag> x+y 2+2 2^3",
     "a|,|b|a|-|b|1|-|2|1-b|a|:|b|a|/|b|1/2|a|=|b|<|tag|>|x+y|2|+|2|2|^|3", 1},
};

std::string words_of(Lexicon& lexicon, std::string_view text) {
    std::vector<uint32_t> tokens;
    std::string out, joined, without;
    lexicon.tokenize(text, TokensOf::words, tokens, &joined);
    for (const uint32_t token : tokens) {
        if (!out.empty()) out += '|';
        out += lexicon.text(token);
        without += lexicon.text(token);
    }
    EXPECT_EQ(joined, without) << text;
    return out;
}

void expect_cases(WordRules rules, std::span<const Case> cases) {
    Lexicon lexicon(rules);
    DocumentView document(lexicon);
    for (int round = 0; round < 3; ++round) { // new, known, and forgotten
        for (const auto& [text, words, sentences] : cases) {
            EXPECT_EQ(words_of(lexicon, text), words) << text;
            EXPECT_EQ(document.sentences(text, 1000), sentences) << text;
        }
        if (round == 1) lexicon.limit(0);
    }
}

TEST(Words, EnglishAsSpacyMakesThem) { expect_cases(WordRules::english, kEnglish); }
TEST(Words, CommonAsSpacyMakesThem) { expect_cases(WordRules::common, kCommon); }

TEST(Words, WhiteSpaceIsTokensOnlyWhereAskedFor) {
    Lexicon lexicon(WordRules::english);
    std::vector<uint32_t> all, words;
    const std::string_view text = "  a  b\n c \u2003";
    lexicon.tokenize(text, TokensOf::all, all);
    std::vector<std::string> texts;
    for (const uint32_t token : all) texts.emplace_back(lexicon.text(token));
    EXPECT_EQ(texts, (std::vector<std::string>{"  ", "a", " ", "b", "\n ", "c", "\u2003"}));
    lexicon.tokenize(text, TokensOf::words, words);
    EXPECT_EQ(words.size(), 3u);
    lexicon.tokenize("", TokensOf::all, all);
    EXPECT_TRUE(all.empty());
}

TEST(Words, PiecesOfAnyLength) {
    Lexicon lexicon(WordRules::english);
    std::vector<uint32_t> tokens;
    for (const size_t size : {1, 19, 20, 21, 64, 70000}) {
        std::string text;
        for (size_t i = 0; i < size; ++i) text += ",a"[i % 2];
        for (int round = 0; round < 2; ++round) {
            lexicon.tokenize(text, TokensOf::words, tokens);
            ASSERT_EQ(tokens.size(), size) << round; // each comma and letter is a word
        }
        const std::string letters(size, 'x');
        lexicon.tokenize(letters + " " + letters, TokensOf::words, tokens);
        ASSERT_EQ(tokens.size(), 2u);
        EXPECT_EQ(lexicon.text(tokens[1]), letters);
        EXPECT_EQ(tokens[0] & Lexicon::kLexeme, tokens[1] & Lexicon::kLexeme);
    }
    EXPECT_EQ(lexicon[lexicon.lexeme_of("né字🙂")].characters, 4u);
}

TEST(Words, UrlsStayWhole) {
    const std::u32string good[] = {U"a.bc",    U"http://a-b.co.uk/x?y#z", U"u:p@h.org:8080/",
                                   U"8.8.8.8", U"223.255.255.254/x",      U"x.ωω"};
    const std::u32string bad[] = {U"a.b",         U"a.B",        U".ab",       U"a..bc",
                                  U"-a.bc",       U"a-.bc",      U"10.0.0.1",  U"127.1.2.3",
                                  U"192.168.1.1", U"172.16.0.1", U"224.0.0.1", U"1.2.3",
                                  U"0.1.2.3",     U"x.ΩΩ",       U"1.2.3.255", U"a.bc:1",
                                  U"a.bc:123456", U"a.bc-",      U"a.bc,d"};
    for (const std::u32string& text : good) EXPECT_TRUE(is_url(text));
    for (const std::u32string& text : bad) EXPECT_FALSE(is_url(text));
}

} // namespace
} // namespace tnl::corpus
