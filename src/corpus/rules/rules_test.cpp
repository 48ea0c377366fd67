#include "base/check.h"
#include "base/file.h"
#include "corpus/rules/filter_chain.h"
#include "corpus/rules/python_text.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <map>
#include <set>

namespace tnl::corpus {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class F> std::string error_of(const F& f) {
    try {
        f();
    } catch (const Error& error) {
        return error.what();
    }
    return "none";
}

TEST(PythonText, LinesAndStripping) {
    std::vector<std::string_view> lines;
    split_lines("a\nb\r\nc\rd\ve\ff\x1cg\u0085h\u2028i\n\nj\n", lines);
    EXPECT_THAT(lines, ElementsAre("a", "b", "c", "d", "e", "f", "g", "h", "i", "", "j"));
    split_lines("", lines);
    EXPECT_TRUE(lines.empty());
    std::string many; // longer than what is looked at at once
    for (int i = 0; i < 100; ++i) many += std::string(static_cast<size_t>(i), 'x') + "\u2029";
    split_lines(many, lines);
    ASSERT_EQ(lines.size(), 100u);
    for (size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i].size(), i);
    split_newlines("a\n\nb\n", lines);
    EXPECT_THAT(lines, ElementsAre("a", "", "b", ""));
    split_newline_runs("a\nb\n\n\nc", 2, lines);
    EXPECT_THAT(lines, ElementsAre("a\nb", "c"));
    split_newline_runs("\n\na\nb", 1, lines);
    EXPECT_THAT(lines, ElementsAre("", "a", "b"));
    EXPECT_EQ(strip("\u3000 a b\u00a0\x1f"), "a b");
    EXPECT_EQ(strip("\u200b"), "\u200b"); // no white space to Python
    EXPECT_EQ(strip(" \u2003"), "");
    EXPECT_EQ(count_of("......", "..."), 2u);
    std::string lower;
    to_lower("ÀΣΑΣ İǅ", lower);
    EXPECT_EQ(lower, "àσας i̇ǆ");
}

FilterChain::Result run(FilterRules rules, std::vector<Step> steps, const std::string& text,
                        std::string* left = nullptr) {
    rules.steps = std::move(steps);
    const FilterPlan plan(rules, "test");
    FilterChain chain(plan);
    const FilterChain::Result result = chain.run(text);
    if (left) *left = chain.text();
    return result;
}

TEST(Rules, TellWhatTheyMeasured) {
    const std::string line = "The house that we have.\n";
    const auto result = run({}, {Step::gopher_repetition}, line + line + line + line);
    EXPECT_EQ(result.step, "gopher_repetition");
    EXPECT_EQ(result.verdict.rule, "dup_line_frac");
    EXPECT_EQ(result.verdict.value, 3 / 5.0); // the fifth is empty
    EXPECT_EQ(result.verdict.threshold, 0.3);
    const auto words = run({}, {Step::gopher_quality}, "Only three words!");
    EXPECT_EQ(words.verdict.rule, "gopher_short_doc");
    EXPECT_EQ(words.verdict.value, 3);
    EXPECT_EQ(words.verdict.threshold, 50);
}

// The n-grams of a text counted the plain way.
size_t plain_duplicates(const std::vector<std::string>& words, size_t n) {
    std::set<std::string> seen;
    size_t out = 0;
    for (size_t i = 0; i + n <= words.size();) {
        std::string gram;
        for (size_t k = 0; k < n; ++k) gram += words[i + k];
        const bool repeated = !seen.insert(gram).second;
        if (repeated) out += gram.size();
        i += repeated ? n : 1;
    }
    return out;
}
size_t plain_top(const std::vector<std::string>& words, size_t n) {
    std::map<std::string, size_t> counts;
    std::vector<std::string> order;
    for (size_t i = 0; i + n <= words.size(); ++i) {
        std::string gram = words[i];
        for (size_t k = 1; k < n; ++k) gram += " " + words[i + k];
        if (counts[gram]++ == 0) order.push_back(gram);
    }
    std::string best;
    for (const std::string& gram : order)
        if (best.empty() || counts[gram] > counts[best]) best = gram;
    return best.size() * counts[best];
}

TEST(Repeats, EqualToPlainCounting) {
    Lexicon lexicon(WordRules::english);
    DocumentView document(lexicon);
    Repeats repeats;
    uint64_t state = 1;
    const auto draw = [&](size_t below) {
        state = state * 6364136223846793005 + 1442695040888963407;
        return (state >> 33) % below;
    };
    for (int round = 0; round < 300; ++round) {
        const size_t words = draw(400), kinds = 1 + draw(40), longest = 1 + draw(8);
        std::vector<std::string> list;
        std::string text;
        for (size_t i = 0; i < words; ++i) { // "aa a" and "a aa" are one string without spaces
            list.emplace_back(1 + draw(kinds) % longest, static_cast<char>('a' + draw(kinds) % 3));
            text += list.back() + (draw(9) == 0 ? "\n" : " ");
        }
        document.set(text);
        repeats.set_words(document);
        ASSERT_EQ(repeats.words(), words);
        for (const size_t n : {1, 2, 3, 4}) {
            const size_t top = repeats.top_n_gram(n);
            EXPECT_EQ(top, plain_top(list, n));
            EXPECT_GE(repeats.top_n_gram_bound(n), top);
        }
        for (const size_t n : {1, 2, 5, 10})
            EXPECT_EQ(repeats.duplicated_n_grams(n), plain_duplicates(list, n)) << n;
    }
}

TEST(Rules, C4RewritesTheText) {
    std::string text;
    FilterRules rules;
    rules.c4.min_num_sentences = 1;
    const auto result = run(rules, {Step::c4},
                            "  A line that stays[1].\nNo end here\nUse JavaScript to see this.\r\n"
                            "Our coo\u212Aie policy is this.\nTwo words.\nIs this [edit]kept?\n",
                            &text);
    EXPECT_TRUE(result.verdict.keep);
    EXPECT_TRUE(result.rewritten);
    EXPECT_EQ(text, "A line that stays.\nIs this kept?");
    const std::string clean = "One line is here.\nAnother one is there.";
    EXPECT_FALSE(run(rules, {Step::c4}, clean).rewritten);
}

TEST(Rules, BadWordsBetweenWords) {
    const fs::path list = fs::path(::testing::TempDir()) / "bad_words.txt";
    write_file_atomic(list, "darn\n\n  two words \nc++\n");
    FilterRules rules;
    rules.c4_badwords.file = list.string();
    const auto dropped = [&](const std::string& text) {
        return !run(rules, {Step::c4_badwords}, text).verdict.keep;
    };
    for (const char* text : {"darn", "Oh DARN!", "éx darn", "a two words b", "(C++)", "c++"})
        EXPECT_TRUE(dropped(text)) << text;
    for (const char* text : {"darned", "édarn", "two  words", "xc++", "c++x", ""})
        EXPECT_FALSE(dropped(text)) << text;
    rules.c4_badwords.anywhere = true;
    EXPECT_TRUE(dropped("édarned"));
    write_file_atomic(list, "\n\n");
    EXPECT_THAT(error_of([&] { dropped("x"); }), HasSubstr("has no words, wanted one a line"));
    rules.c4_badwords.file = "";
    EXPECT_THAT(error_of([&] { dropped("x"); }), HasSubstr("wanted c4_badwords.file=FILE"));
    fs::remove(list);
}

TEST(Rules, FromPresetsAndFiles) {
    EXPECT_FALSE(load_rules("fineweb").c4.filter_no_terminal_punct);
    EXPECT_THAT(load_rules("c4").steps, ElementsAre(Step::c4));
    EXPECT_THAT(error_of([] { load_rules("finweb"); }),
                HasSubstr("rules 'finweb', wanted one of fineweb, gopher, c4, clean, or a .toml"));
    FilterRules rules = load_rules("fineweb");
    set_rules(rules, {"gopher_quality.min_doc_words=7", R"(steps=["c4", "fineweb"])"});
    EXPECT_EQ(rules.gopher_quality.min_doc_words, 7);
    EXPECT_THAT(rules.steps, ElementsAre(Step::c4, Step::fineweb));
    const fs::path file = fs::path(::testing::TempDir()) / "rules.json";
    write_file_atomic(file, rules.json());
    EXPECT_EQ(load_rules(file.string()).json(), rules.json());
    fs::remove(file);
    rules.gopher_repetition.top_n_grams = {{3, 0.1}, {2, 0.1}};
    EXPECT_THAT(
        error_of([&] { rules.validate("x"); }),
        HasSubstr("x: gopher_repetition.top_n_grams has [2, 0.1], wanted [n, share], n from "
                  "1 to 64, rising"));
}

constexpr const char* kLanguage = R"(dup_line_frac: 0.4
dup_n_grams:
- - 5
  - 0.19
- - 6
  - 0.16
language_score: 0.3
line_punct_thr: 0.05
max_avg_word_length: 11
max_non_alpha_words_ratio: 0.7
min_avg_word_length: 3
new_line_ratio: 0.2
stopwords:
- 'no'
- "\u7684"
- van
top_n_grams:
- - 2
  - 0.7
)";

TEST(Rules, FineWeb2Files) {
    const FilterRules rules = fineweb2_rules(kLanguage, "x.yml");
    EXPECT_THAT(rules.steps,
                ElementsAre(Step::gopher_repetition, Step::fineweb, Step::gopher_quality));
    EXPECT_EQ(rules.gopher_repetition.dup_line_frac, 0.4);
    EXPECT_EQ(rules.gopher_repetition.dup_para_frac, 0);
    EXPECT_THAT(rules.gopher_repetition.dup_n_grams,
                ElementsAre(ElementsAre(5, 0.19), ElementsAre(6, 0.16)));
    EXPECT_EQ(rules.fineweb.char_duplicates_ratio, 0.1);
    EXPECT_EQ(rules.fineweb.new_line_ratio, 0.2);
    EXPECT_THAT(rules.gopher_quality.stop_words, ElementsAre("no", "的", "van"));
    EXPECT_EQ(rules.words, WordRules::common);
    const auto error = [](const std::string& yaml) {
        return error_of([&] { fineweb2_rules(yaml, "x.yml"); });
    };
    const std::string good = kLanguage;
    EXPECT_THAT(error("- 1"), HasSubstr("x.yml: no YAML mapping"));
    EXPECT_THAT(error(good.substr(19)), HasSubstr("x.yml: has no field 'dup_line_frac'"));
    EXPECT_THAT(error("a: [1\nb: 2"), HasSubstr("invalid YAML"));
    EXPECT_THAT(error(good + "typo: 1\n"), HasSubstr("unknown field 'typo'"));
    std::string bad = good;
    bad.replace(bad.find("0.05"), 4, "low");
    EXPECT_THAT(error(bad), HasSubstr("x.yml: line_punct_thr is low, wanted a number"));
}

TEST(Rules, ADocumentDoesNotChangeTheNext) {
    const FilterPlan plan(load_rules("fineweb"), "test");
    std::vector<std::string> texts;
    for (int i = 0; i < 40; ++i) {
        std::string text;
        for (int k = 0; k < 30 + i; ++k)
            text += fmt::format("Line {} that we have with the words {} of it.\n", k * i % 17,
                                k % (i + 1));
        texts.push_back(text);
    }
    FilterChain used(plan, 1); // forgets before every document
    FilterChain kept(plan);
    for (int round = 0; round < 2; ++round) {
        for (const std::string& text : texts) {
            FilterChain fresh(plan);
            const auto wanted = fresh.run(text);
            for (FilterChain* chain : {&used, &kept}) {
                const auto got = chain->run(text);
                EXPECT_EQ(got.verdict.rule, wanted.verdict.rule);
                EXPECT_EQ(got.verdict.value, wanted.verdict.value);
                EXPECT_EQ(chain->text(), fresh.text());
            }
        }
    }
}

} // namespace
} // namespace tnl::corpus
