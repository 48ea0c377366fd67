#include "ops/loss/loss.h"

#include "ops/testbed.h"

namespace tnl {
namespace {

using namespace testing;

TEST(CrossEntropy, GradientIsFiniteDifferences) {
    CpuBed bed;
    const Kernels& k = cpu_oracle_kernels();
    const OwnedTensor logits = bed.normal(DType::f64, {5, 7}, 1, 2);
    const OwnedTensor targets = bed.integers({5}, 2, 0, 7), loss = bed.zeros(DType::f64, {5});
    set_value(targets, 3, -1);
    OwnedTensor gradient = converted(*bed.device, logits, DType::f64);
    k.cross_entropy(bed.stream(), loss, gradient, targets, true, 0.25f);
    EXPECT_EQ(value_at(loss, 3), 0);
    for (int64_t v = 0; v < 7; ++v) EXPECT_EQ(value_at(gradient, 3 * 7 + v), 0);
    EXPECT_TRUE(gradcheck("logits", logits, gradient, [&] {
        k.cross_entropy(bed.stream(), loss, logits, targets, false, 0);
        double sum = 0;
        for (int64_t n = 0; n < 5; ++n) sum += value_at(loss, n);
        return 0.25 * sum;
    }));
}

TEST(CrossEntropy, FastMatchesOracle) {
    for (const int64_t V : {1, 77, 5003})
        expect_fast_matches_oracle([&](const Kernels& k, CpuBed& bed, DType dtype) {
            std::vector<OwnedTensor> out;
            const int64_t N = 13;
            OwnedTensor targets = bed.integers({N}, 2, 0, V);
            set_value(targets, 4, -100);
            out.push_back(exact_normal(bed, dtype, {N, V}, 1, 4)); // becomes the gradient
            out.push_back(bed.zeros(acc_of(dtype), {N}));
            out.push_back(bed.zeros(acc_of(dtype), {N}));
            k.cross_entropy(bed.stream(), out[1], out[0], targets, false, 0);
            k.cross_entropy(bed.stream(), out[2], out[0], targets, true, 0.125f);
            return out;
        });
}

TEST(CrossEntropy, LargeLogitsNeitherOverflowNorVanish) {
    CpuBed bed;
    const OwnedTensor logits = bed.zeros(DType::f32, {2, 40}), loss = bed.zeros(DType::f32, {2});
    const OwnedTensor targets = bed.zeros(DType::i32, {2});
    set_value(logits, 7, 3e4);
    set_value(logits, 40, 3e4);
    cpu_kernels().cross_entropy(bed.stream(), loss, logits, targets, true, 1);
    EXPECT_FLOAT_EQ(static_cast<float>(value_at(loss, 0)), 3e4f);
    EXPECT_EQ(value_at(loss, 1), 0);
    EXPECT_EQ(value_at(logits, 0), -1);
    EXPECT_EQ(value_at(logits, 7), 1);
    EXPECT_EQ(value_at(logits, 40), 0);
}

TEST(CrossEntropy, TargetBeyondTheVocabularyIsNamed) {
    CpuBed bed;
    const OwnedTensor logits = bed.zeros(DType::f32, {2, 4}), loss = bed.zeros(DType::f32, {2});
    const OwnedTensor targets = bed.zeros(DType::i32, {2});
    set_value(targets, 1, 4);
    EXPECT_THROW(cpu_kernels().cross_entropy(bed.stream(), loss, logits, targets, true, 1), Error);
}

} // namespace
} // namespace tnl
