#include "base/background.h"

#include "base/check.h"

#include <gtest/gtest.h>

#include <future>
#include <vector>

namespace tnl {
namespace {

TEST(Background, DoesJobsInOrderBesideItsOwner) {
    Background background;
    EXPECT_FALSE(background.busy());
    background.wait();
    std::promise<void> go;
    std::vector<int> done;
    background.start([&] {
        go.get_future().wait();
        done.push_back(1);
    });
    EXPECT_TRUE(background.busy());
    go.set_value();
    background.start([&] { done.push_back(2); }); // waits for the first
    background.wait();
    EXPECT_FALSE(background.busy());
    EXPECT_EQ(done, (std::vector<int>{1, 2}));
}

TEST(Background, TellsWhatAJobThrewOnce) {
    Background background;
    background.start([] { fail("no"); });
    EXPECT_THROW(background.wait(), Error);
    background.wait();
    background.start([] { fail("no"); });
    EXPECT_THROW(background.start([] {}), Error);
    bool ran = false;
    background.start([&] { ran = true; });
    background.wait();
    EXPECT_TRUE(ran);
}

TEST(Background, ItsEndWaitsForTheJob) {
    bool ran = false;
    {
        Background background;
        background.start([&] { ran = true; });
    }
    EXPECT_TRUE(ran);
}

} // namespace
} // namespace tnl
