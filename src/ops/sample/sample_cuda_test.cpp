// Draws of a GPU are those of the CPU, token by token.
#include "ops/cuda_testbed.h"
#include "ops/sample/sample_testbed.h"

namespace tnl::testing {
namespace {

TEST(CudaSample, ChoosesWhatTheCpuChooses) {
    TNL_NEEDS_GPU();
    for (const int64_t V : {1, 5, 33, 1000, 4097, 64000, 151936}) {
        const SampleRows rows(V > 10000 ? 140 : 420, V, static_cast<uint64_t>(V));
        std::vector<float> after;
        const std::vector<int32_t> got = rows.choose(*gpu(), *cuda_kernels(), &after);
        EXPECT_EQ(got, rows.choose(cpu(), cpu_oracle_kernels())) << V;
        EXPECT_EQ(after, rows.logits) << V;
    }
}

TEST(CudaSample, NoneWhereThereIsNothingToChoose) {
    TNL_NEEDS_GPU();
    SampleRows rows(40, 700, 3);
    const auto row = [&](size_t n) { return rows.logits.begin() + static_cast<int64_t>(n) * 700; };
    row(0)[699] = NAN;
    row(1)[0] = INFINITY;
    std::fill_n(row(2), 700, -INFINITY);
    const std::vector<int32_t> got = rows.choose(*gpu(), *cuda_kernels());
    for (size_t n = 0; n < 3; ++n) EXPECT_EQ(got[n], -1);
    EXPECT_EQ(got[12], -1); // skipped
    EXPECT_EQ(got, rows.choose(cpu(), cpu_oracle_kernels()));
}

} // namespace
} // namespace tnl::testing
