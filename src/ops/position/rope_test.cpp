#include "ops/position/rope.h"

#include "ops/position/lrpe.h"
#include "ops/testbed.h"

namespace tnl {
namespace {

using namespace testing;

TEST(Rope, IsTheFormula) {
    CpuBed bed;
    const int64_t N = 5, H = 2, D = 6;
    const OwnedTensor x = bed.normal(DType::f64, {N, H, D}, 1),
                      y = bed.zeros(DType::f64, {N, H, D});
    const OwnedTensor positions = bed.integers({N}, 2, 0, 1000);
    cpu_oracle_kernels().rope(bed.stream(), y, x, positions, 10000, false);
    for (int64_t row = 0; row < N * H; ++row)
        for (int64_t i = 0; i < D / 2; ++i) {
            const double a =
                value_at(positions, row / H) * std::pow(10000.0, -2.0 * static_cast<double>(i) / D);
            const double first = value_at(x, row * D + i),
                         second = value_at(x, row * D + i + D / 2);
            EXPECT_NEAR(value_at(y, row * D + i), first * std::cos(a) - second * std::sin(a),
                        1e-12);
            EXPECT_NEAR(value_at(y, row * D + i + D / 2),
                        second * std::cos(a) + first * std::sin(a), 1e-12);
        }
}

TEST(Rope, GradientsAreFiniteDifferences) {
    CpuBed bed;
    const Kernels& k = cpu_oracle_kernels();
    const OwnedTensor x = bed.normal(DType::f64, {6, 3, 4}, 1),
                      w = bed.normal(DType::f64, {6, 3, 4}, 3);
    const OwnedTensor y = bed.zeros(DType::f64, {6, 3, 4}), dx = bed.zeros(DType::f64, {6, 3, 4});
    const OwnedTensor positions = bed.integers({6}, 4, 0, 20);
    k.rope(bed.stream(), dx, w, positions, 100, true);
    const auto loss = [&] {
        k.rope(bed.stream(), y, x, positions, 100, false);
        return dot(w, y);
    };
    EXPECT_TRUE(gradcheck("x", x, dx, loss));
}

// Products of turned vectors depend on the distance alone, also far out, in f32 and in place.
TEST(Rope, IsRelativeAndUndoneByTheBackward) {
    CpuBed bed;
    const int64_t N = 64, H = 1, D = 32;
    for (int32_t origin : {0, 40000, kExactAngleFrom + 5}) {
        const OwnedTensor x = bed.normal(DType::f32, {N, H, D}, 1),
                          y = bed.zeros(DType::f32, {N, H, D});
        const OwnedTensor positions = bed.integers({N}, 2, 0, 1);
        for (int64_t n = 0; n < N; ++n) set_value(positions, n, origin + static_cast<double>(n));
        cpu_kernels().rope(bed.stream(), y, x, positions, 10000, false);
        for (int64_t n = 0; n < N; ++n) {
            double before = 0, after = 0;
            for (int64_t d = 0; d < D; ++d) {
                before += value_at(x, n * D + d) * value_at(x, n * D + d);
                after += value_at(y, n * D + d) * value_at(y, n * D + d);
            }
            EXPECT_NEAR(before, after, 1e-5 * before);
        }
        cpu_kernels().rope(bed.stream(), y, y, positions, 10000, true);
        EXPECT_TRUE(close(y, x, 1e-6));
    }
}

TEST(Rope, RejectsWhatDoesNotFit) {
    CpuBed bed;
    const OwnedTensor odd = bed.zeros(DType::f32, {2, 1, 3}), x = bed.zeros(DType::f32, {2, 1, 4});
    const OwnedTensor positions = bed.integers({2}, 1, 0, 9), more = bed.integers({3}, 1, 0, 9);
    const auto rope = cpu_kernels().rope;
    EXPECT_THROW(rope(bed.stream(), odd, odd, positions, 10000, false), Error);
    EXPECT_THROW(rope(bed.stream(), x, x, more, 10000, false), Error);
    EXPECT_THROW(rope(bed.stream(), x, x, positions, 0, false), Error);
}

} // namespace
} // namespace tnl
