#include "ops/timed.h"

#include <gtest/gtest.h>

#include <cstring>

namespace tnl {
namespace {

int scale_calls = 0;

// A table without work, whose entries can be told from those of the timed one.
Kernels fake() {
    Kernels k{};
    k.name = "fake";
    k.gemm = [](Stream&, Tensor, Tensor, Tensor, bool, bool, float, float) {};
    k.scale = [](Stream&, Tensor, float) { ++scale_calls; };
    return k;
}

TEST(TimedKernels, CountsCallsAndFlops) {
    const Kernels real = fake();
    const Kernels timed = timed_kernels(real);
    Stream stream;
    const Tensor c(nullptr, DType::f32, {3, 5}), a(nullptr, DType::f32, {3, 7}),
        at(nullptr, DType::f32, {7, 3}), b(nullptr, DType::f32, {7, 5});
    timed.gemm(stream, c, a, b, false, false, 1, 0);
    timed.gemm(stream, c, at, b, true, false, 1, 0);
    timed.scale(stream, c, 2);
    EXPECT_EQ(scale_calls, 1);
    const auto times = kernel_times();
    ASSERT_EQ(times.size(), 2u);
    for (const KernelTime& t : times) {
        EXPECT_GE(t.seconds, 0);
        EXPECT_EQ(t.calls, t.name == "gemm" ? 2 : 1) << t.name;
        EXPECT_EQ(t.flops, t.name == "gemm" ? 2 * 2.0 * 3 * 5 * 7 : 0) << t.name;
        EXPECT_EQ(t.bytes, t.name == "gemm" ? 0 : 2 * 4.0 * 3 * 5) << t.name;
    }
    reset_kernel_times();
    EXPECT_TRUE(kernel_times().empty());
}

TEST(TimedKernels, EveryEntryIsTimed) {
    // A kernel that is added to the table and not to the wrapper shows up here.
    const Kernels real = cpu_oracle_kernels();
    const Kernels timed = timed_kernels(real);
    constexpr size_t kEntries = sizeof(Kernels) / sizeof(void*);
    size_t same = 0;
    for (size_t i = 0; i < kEntries; ++i)
        same += std::memcmp(reinterpret_cast<const char*>(&real) + i * sizeof(void*),
                            reinterpret_cast<const char*>(&timed) + i * sizeof(void*),
                            sizeof(void*)) == 0;
    EXPECT_EQ(same, 11u)
        << "only name, few_rows_pays, decode_step_pays, sample_pays, and the workspaces and plans "
           "of lightning, softmax, quant and decode_step are passed on as they are";
}

} // namespace
} // namespace tnl
