#include "train/step_reader.h"

#include "train/testbed.h"

#include <gmock/gmock.h>

namespace tnl {
namespace {

using testing::error_of;

// Counts up; fails at one of its reads.
class Numbers : public BatchSource {
  public:
    explicit Numbers(int64_t fails_at = -1) : fails_at_(fails_at) {}
    void next(int64_t rows, TokenRows& out) override {
        if (at_ == fails_at_) fail("read {} failed", at_);
        out.ids.assign(static_cast<size_t>(rows), static_cast<int32_t>(at_++));
    }
    LoaderState state() const override { return {7, 0, at_}; }
    void seek(const LoaderState& state) override { at_ = state.cursor; }
    int64_t rows_per_epoch() const override { return 1; }
    double bytes_per_token() const override { return 0; }
    std::string fingerprint() const override { return ""; }

  private:
    int64_t at_ = 0, fails_at_;
};

std::vector<int32_t> firsts(std::span<const TokenRows> step) {
    std::vector<int32_t> out;
    for (const TokenRows& batch : step) out.push_back(batch.ids.at(0));
    return out;
}

TEST(StepReader, GivesStepsInOrderWithTheStateAfterEach) {
    Numbers source;
    StepReader reader(source, 3, 2);
    for (int32_t step = 0; step < 20; ++step) {
        const bool more = step % 5 != 4; // nothing is read ahead after the last
        EXPECT_EQ(firsts(reader.next(more)), (std::vector<int32_t>{2 * step, 2 * step + 1}));
        EXPECT_EQ(reader.state(), (LoaderState{7, 0, 2 * step + 2}));
    }
    EXPECT_EQ(source.state(), reader.state());
}

TEST(StepReader, WhatWasReadAheadIsDroppedBySeek) {
    Numbers source;
    StepReader reader(source, 1, 1);
    reader.next(true);
    reader.seek({7, 0, 5});
    EXPECT_EQ(firsts(reader.next(true)), std::vector<int32_t>{5});
    EXPECT_EQ(firsts(reader.next(false)), std::vector<int32_t>{6});
}

TEST(StepReader, FailsAtTheStepThatCannotBeRead) {
    Numbers source(3);
    StepReader reader(source, 1, 2);
    EXPECT_EQ(firsts(reader.next(true)), (std::vector<int32_t>{0, 1}));
    EXPECT_EQ(reader.state().cursor, 2);
    EXPECT_EQ(error_of([&] { reader.next(true); }), "read 3 failed");
    StepReader again(source, 1, 2);
    again.seek({7, 0, 2});
    EXPECT_EQ(error_of([&] { again.next(true); }), "read 3 failed");
    again.seek({7, 0, 4});
    EXPECT_EQ(firsts(again.next(true)), (std::vector<int32_t>{4, 5}));
}

} // namespace
} // namespace tnl
