// A whole step as one kernel against the oracle's calls one by one.
#include "ops/step/step_testbed.h"

#include <algorithm>

namespace tnl::testing {
namespace {

constexpr StepSize kSizes[] = {
    {3, 128, 2, 64, 352, 331},     // fewer pairs than blocks; an odd vocabulary
    {2, 64, 3, 16, 72, 50, 2},     // hidden 48, C 64; fewer rows of the head than blocks
    {1, 1024, 8, 128, 2816, 3001}, // 385M's layer
    {1, 4096, 2, 64, 704, 300},    // 7B's width, and below its heads and its long rows
    {1, 256, 32, 128, 11008, 300}, //
    {2, 320, 5, 64, 864, 600, 0},
    {2, 1024, 2, 64, 384, 331, 1, QuantFormat::int8, QuantFormat::int8},
    {2, 1024, 2, 64, 320, 331, 1, QuantFormat::int4, QuantFormat::none}, // blocks of 576, too
    {1, 128, 2, 64, 2816, 300, 1, QuantFormat::int4, QuantFormat::int8},
    {2, 128, 2, 64, 3456, 301, 1, QuantFormat::int8, QuantFormat::int4},
};

bool served(const StepSize& z) {
    StepShape s;
    s.dtype = DType::bf16;
    s.layers = z.layers;
    s.C = z.C;
    s.heads = z.heads;
    s.width = z.width;
    s.F = z.F;
    s.V = z.V;
    s.keys = 2 * z.width;
    s.matrices = z.matrices;
    s.head = z.head;
    return cuda_kernels()->decode_step_pays(gpu()->stream(), s);
}

TEST(CudaStep, IsItsCalls) {
    TNL_NEEDS_GPU();
    for (const StepSize& z : kSizes)
        for (const Activation act : {Activation::silu, Activation::sigmoid}) {
            if (!served(z)) GTEST_SKIP() << "not on this GPU";
            const bool large = z.C * z.F > 1000000;
            if (large && act != Activation::silu) continue;
            compare(
                [&](Bed& bed) {
                    DecodeStep step = random_step(bed, z, act);
                    take_steps(bed, step, large ? 2 : 6);
                },
                fmt::format("{} layers of {}, {}, {}", z.layers, z.C, name_of(act),
                            name_of(z.matrices)),
                {}, {DType::bf16});
        }
}

// Many steps without waiting: what one sends is never taken for what another sent. Counts pass
// 2^16, of which words carry the low half.
TEST(CudaStep, StepsFollowEachOther) {
    TNL_NEEDS_GPU();
    const StepSize z = kSizes[0];
    if (!served(z)) GTEST_SKIP() << "not on this GPU";
    const auto run = [&](bool wait) {
        Bed bed(*gpu(), *cuda_kernels(), DType::bf16, DType::bf16);
        DecodeStep step = random_step(bed, z);
        for (int t = 0; t < 6000; ++t) { // 16 counts each
            bed.kernels.decode_step(bed.stream(), step);
            if (wait) gpu()->synchronize();
        }
        return bed.get(step.logits);
    };
    const std::vector<double> one = run(true), other = run(false);
    EXPECT_FALSE(std::isnan(one.front()));
    EXPECT_EQ(one, other);
}

int32_t number_in(Device& device, const Tensor& x) {
    int32_t value = 0;
    device.download(&value, x.data, sizeof value);
    return value;
}

TEST(CudaStep, ChoosesAsArgmaxDoes) {
    TNL_NEEDS_GPU();
    const StepSize z = kSizes[0];
    if (!served(z)) GTEST_SKIP() << "not on this GPU";
    Bed bed(*gpu(), *cuda_kernels(), DType::bf16, DType::bf16);
    DecodeStep step = random_step(bed, z);
    const Tensor want = bed.ints({-7});
    for (int t = 0; t < 40; ++t) {
        if (t == 20) { // equal rows: the lowest column of the largest
            const int64_t row = step.head.floats.shape[1] * size_of(DType::bf16);
            const auto best = int64_t{number_in(*gpu(), step.chosen)};
            auto* data = static_cast<char*>(step.head.floats.data);
            for (const int64_t other : {int64_t{5}, int64_t{200}, z.V - 1})
                bed.device.copy(data + other * row, data + best * row, static_cast<size_t>(row));
        }
        if (t == 30)
            bed.device.zero(step.head.floats.data, static_cast<size_t>(step.head.floats.bytes()));
        bed.kernels.decode_step(bed.stream(), step);
        bed.kernels.argmax(bed.stream(), want, step.logits);
        EXPECT_EQ(number_in(*gpu(), step.chosen), number_in(*gpu(), want)) << t;
    }
    std::vector<double> nan(static_cast<size_t>(z.C), NAN);
    step.embed = bed.values({1, z.C}, DType::bf16, nan);
    step.head = bed.values({1, z.C}, DType::bf16, nan);
    step.logits = bed.acc_output({1, 1});
    bed.kernels.decode_step(bed.stream(), step);
    EXPECT_EQ(number_in(*gpu(), step.chosen), -1);
}

} // namespace
} // namespace tnl::testing
