#include "train/schedule.h"

#include <gtest/gtest.h>

namespace tnl {
namespace {

TEST(Schedule, WarmsUpLinearlyToThePeakAfterIt) {
    const Schedule s{ScheduleKind::cosine, 100, 9, 0.1};
    for (int64_t step = 0; step < 9; ++step)
        EXPECT_DOUBLE_EQ(s.factor(step), static_cast<double>(step + 1) / 10) << step;
    EXPECT_DOUBLE_EQ(s.factor(9), 1);
}

TEST(Schedule, CosineHasItsMiddleAndEndWhereTheyBelong) {
    const Schedule s{ScheduleKind::cosine, 110, 10, 0.2};
    EXPECT_DOUBLE_EQ(s.factor(60), 0.6);
    // cos(60 degrees) = 1/2: a third of the way
    const Schedule third{ScheduleKind::cosine, 40, 10, 0};
    EXPECT_NEAR(third.factor(20), 0.75, 1e-15);
    EXPECT_DOUBLE_EQ(s.factor(110), 0.2);
    EXPECT_DOUBLE_EQ(s.factor(100000), 0.2); // and stays there
}

TEST(Schedule, LinearIsALine) {
    const Schedule s{ScheduleKind::linear, 50, 0, 0};
    for (int64_t step = 0; step <= 50; ++step)
        EXPECT_NEAR(s.factor(step), 1 - static_cast<double>(step) / 50, 1e-15);
}

TEST(Schedule, ConstantStays) {
    const Schedule s{ScheduleKind::constant, 50, 2, 0.1};
    EXPECT_DOUBLE_EQ(s.factor(2), 1);
    EXPECT_DOUBLE_EQ(s.factor(49), 1);
}

TEST(Schedule, NeverRisesAfterWarmUpAndNeverLeavesZeroToOne) {
    for (const auto& [name, kind] : enum_names(ScheduleKind{}))
        for (const int64_t warmup : {0, 1, 30, 31}) {
            const Schedule s{kind, 31, warmup, 0.05};
            for (int64_t step = 0; step < 31; ++step) {
                EXPECT_GT(s.factor(step), 0) << name;
                EXPECT_LE(s.factor(step), 1) << name;
                EXPECT_TRUE(step < warmup || s.factor(step + 1) <= s.factor(step)) << name;
            }
        }
}

} // namespace
} // namespace tnl
