#include "corpus/grade/agreement.h"

#include "corpus/report/report.h"

#include <gtest/gtest.h>

namespace tnl::corpus {
namespace {

Grader grader(const std::string& grades) { // "gbu.": good, bad, unsure, none
    Grader out;
    for (size_t i = 0; i < grades.size(); ++i)
        if (grades[i] != '.')
            out.grades[std::to_string(i)] = grades[i] == 'g'   ? Grade::good
                                            : grades[i] == 'b' ? Grade::bad
                                                               : Grade::unsure;
    return out;
}

// Cohen's example of two classes: 20 and 15 alike, 5 and 10 not: p_o 0.7, p_e 0.5.
TEST(Agreement, IsCohensKappa) {
    const Grader a = grader(std::string(25, 'g') + std::string(25, 'b'));
    const Grader b = grader(std::string(20, 'g') + std::string(5, 'b') + std::string(10, 'g') +
                            std::string(15, 'b'));
    const Agreement found = agreement(a, b);
    EXPECT_EQ(found.documents, 50);
    EXPECT_DOUBLE_EQ(found.share, 0.7);
    ASSERT_TRUE(found.kappa);
    EXPECT_NEAR(*found.kappa, 0.4, 1e-12);
    EXPECT_NEAR(*agreement(b, a).kappa, 0.4, 1e-12);
}

TEST(Agreement, CountsWhatBothGraded) {
    const Agreement found = agreement(grader("gg.b"), grader("g.bb"));
    EXPECT_EQ(found.documents, 2);
    EXPECT_DOUBLE_EQ(found.share, 1);
    EXPECT_FALSE(agreement(grader("gg"), grader("gg")).kappa); // by chance, too
    EXPECT_EQ(agreement(grader("g."), grader(".g")).documents, 0);
}

TEST(Verdict, IsThatOfMost) {
    const std::vector<Grader> graders = {grader("gbug."), grader("gbub."), grader("bbgu.")};
    EXPECT_EQ(verdict(graders, "0"), true);
    EXPECT_EQ(verdict(graders, "1"), false);
    EXPECT_EQ(verdict(graders, "2"), std::nullopt); // most are unsure
    EXPECT_EQ(verdict(graders, "3"), std::nullopt);
    EXPECT_EQ(verdict(graders, "4"), std::nullopt);
}

std::vector<std::pair<GradedDocument, bool>> judged(const std::string& grades) {
    std::vector<std::pair<GradedDocument, bool>> out;
    for (size_t i = 0; i < grades.size(); ++i) {
        GradedDocument d;
        d.value = static_cast<double>(i);
        out.emplace_back(d, grades[i] == 'g');
    }
    return out;
}

TEST(Suggest, KeepsTheWidestIntervalOfThatPrecision) {
    const auto found = suggest(judged("bbggggbggbbb"), 0.85);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->bounds.low, 2);
    EXPECT_EQ(found->bounds.high, 8);
    EXPECT_NEAR(found->precision, 6.0 / 7, 1e-12);
    EXPECT_NEAR(found->kept, 7.0 / 12, 1e-12);
    EXPECT_DOUBLE_EQ(found->recall, 1);
    const auto all = suggest(judged("gggg"), 0.9);
    ASSERT_TRUE(all);
    EXPECT_FALSE(all->bounds.low || all->bounds.high);
    EXPECT_FALSE(suggest(judged("bbb"), 0.5));
}

TEST(Suggest, WeighsDocumentsByWhatTheyStandFor) {
    auto documents = judged("gb");
    documents[1].first.weight = 9;
    const auto found = suggest(documents, 0.5);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->bounds.high, 0);
    EXPECT_DOUBLE_EQ(found->kept, 0.1);
}

TEST(EmbeddedJson, CannotEndItsScript) {
    const std::string text = embedded_json({{"text", "</script><b>"}});
    EXPECT_EQ(text.find('<'), std::string::npos);
    EXPECT_EQ(Json::parse(text)["text"], "</script><b>");
}

} // namespace
} // namespace tnl::corpus
