#include "base/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

namespace tnl {
namespace {

// Long enough that who waits sleeps.
void dawdle() { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }

TEST(ThreadPool, EveryRankRunsOnceAndIsWaitedFor) {
    ThreadPool pool(3);
    for (int round = 0; round < 40; ++round) {
        std::vector<std::atomic<int>> calls(3);
        const bool slow = round % 8 == 0;
        pool.run([&](int rank) {
            if (slow && rank == round / 8 % 3) dawdle();
            calls[static_cast<size_t>(rank)].fetch_add(1);
        });
        for (const std::atomic<int>& count : calls) EXPECT_EQ(count.load(), 1);
        if (round % 16 == 5) dawdle(); // the others sleep and have to be woken
    }
}

TEST(ThreadPool, ASplitRangeIsWhole) {
    ThreadPool pool(3);
    for (const int64_t n : {0, 1, 2, 3, 10, 1000}) {
        std::atomic<int64_t> sum{0};
        pool.parallel_for(n, 2, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) sum += i + 1;
        });
        EXPECT_EQ(sum.load(), n * (n + 1) / 2);
    }
}

TEST(ThreadPool, AnExceptionOfAnyRankIsRethrown) {
    ThreadPool pool(2);
    for (const int thrower : {0, 1})
        EXPECT_THROW(pool.run([&](int rank) {
            if (rank == thrower) throw std::runtime_error("one");
            dawdle();
        }),
                     std::runtime_error);
    std::atomic<int> calls{0};
    pool.run([&](int) { ++calls; });
    EXPECT_EQ(calls.load(), 2);
}

} // namespace
} // namespace tnl
