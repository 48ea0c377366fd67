#include "train/guard.h"

#include "base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tnl {
namespace {

using ::testing::HasSubstr;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

GuardConfig config(GuardAction action) {
    GuardConfig c;
    c.action = action;
    c.window = 20;
    c.max_skips = 3;
    return c;
}

void feed(Guard& guard, int steps) {
    for (int i = 0; i < steps; ++i) ASSERT_TRUE(guard.judge(3 + 0.1 * std::sin(i), 1).apply) << i;
}

TEST(Guard, StopsOnWhatIsNotFinite) {
    for (const double bad : {kNan, kInf, -kInf}) {
        Guard guard(config(GuardAction::stop));
        EXPECT_TRUE(guard.judge(bad, 1).stop);
        EXPECT_TRUE(guard.judge(3, bad).stop);
        EXPECT_FALSE(guard.judge(3, bad).apply);
    }
    Guard guard(config(GuardAction::stop));
    EXPECT_EQ(guard.judge(kNan, 1).reason, "the loss is NaN");
    EXPECT_EQ(guard.judge(1, kInf).reason, "the gradient's norm is infinite");
}

TEST(Guard, StopsOnASpikeButNotOnNoiseOrFewLosses) {
    Guard guard(config(GuardAction::stop));
    EXPECT_TRUE(guard.judge(2, 1).apply);
    EXPECT_TRUE(guard.judge(9, 1).apply); // two losses say nothing
    Guard other(config(GuardAction::stop));
    feed(other, 40);
    EXPECT_TRUE(other.judge(3.5, 1).apply); // far by deviations, near by ratio
    const Guard::Verdict spike = other.judge(9, 1);
    EXPECT_TRUE(spike.stop);
    EXPECT_FALSE(spike.apply);
    EXPECT_THAT(spike.reason, HasSubstr("9.0000 is a spike: the last 20 steps"));
}

TEST(Guard, SkipsUpToItsLimit) {
    Guard guard(config(GuardAction::skip));
    feed(guard, 20);
    EXPECT_FALSE(guard.judge(kNan, 1).stop);
    EXPECT_FALSE(guard.judge(kNan, 1).stop);
    EXPECT_TRUE(guard.judge(3, 1).apply); // begins the count anew
    EXPECT_FALSE(guard.judge(kNan, 1).stop);
    EXPECT_FALSE(guard.judge(99, 1).stop);
    const Guard::Verdict last = guard.judge(kNan, 1);
    EXPECT_TRUE(last.stop);
    EXPECT_THAT(last.reason, HasSubstr("3 steps in a row"));
    EXPECT_EQ(guard.skipped(), 5);
}

TEST(Guard, OffLetsAllPass) {
    Guard guard(config(GuardAction::off));
    EXPECT_TRUE(guard.judge(kNan, kNan).apply);
}

TEST(Guard, DecidesAsBeforeWhenRestored) {
    const GuardConfig c = config(GuardAction::skip);
    Guard first(c);
    const auto loss = [](int i) { return i % 7 == 6 ? 30.0 : 3 + 0.3 * std::cos(i); };
    for (int i = 0; i < 33; ++i) first.judge(loss(i), 1);
    Guard second(c);
    second.restore(Json::parse(first.state().dump()));
    for (int i = 33; i < 90; ++i) {
        const auto a = first.judge(loss(i), 1), b = second.judge(loss(i), 1);
        EXPECT_EQ(a.apply, b.apply) << i;
        EXPECT_EQ(a.reason, b.reason) << i;
    }
    EXPECT_EQ(first.state(), second.state());
}

TEST(Guard, ConfigSaysWhatIsWrong) {
    GuardConfig c;
    c.window = 3;
    EXPECT_THROW(c.validate(), UsageError);
}

} // namespace
} // namespace tnl
