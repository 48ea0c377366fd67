#include "ops/position/lrpe.h"

#include "ops/position/position.h"
#include "ops/testbed.h"

namespace tnl {
namespace {

using namespace testing;

TEST(Lrpe, GradientsAreFiniteDifferences) {
    CpuBed bed;
    const Kernels& k = cpu_oracle_kernels();
    const OwnedTensor x = bed.normal(DType::f64, {6, 3, 4}, 1),
                      theta = bed.normal(DType::f64, {3, 4}, 2);
    const OwnedTensor w = bed.normal(DType::f64, {6, 3, 8}, 3),
                      y = bed.zeros(DType::f64, {6, 3, 8});
    const OwnedTensor dx = bed.zeros(DType::f64, {6, 3, 4}), dtheta = bed.zeros(DType::f64, {3, 4});
    const OwnedTensor positions = bed.integers({6}, 4, -3, 20);
    k.lrpe_backward(bed.stream(), dx, dtheta, w, x, theta, positions);
    const auto loss = [&] {
        k.lrpe_forward(bed.stream(), y, x, theta, positions);
        return dot(w, y);
    };
    EXPECT_TRUE(gradcheck("x", x, dx, loss));
    EXPECT_TRUE(gradcheck("theta", theta, dtheta, loss, {.tolerance = 1e-6}));
}

// theta is made from f32 numbers, so that the angle of the f64 oracle is the unrounded one; the
// positions stay small for that.
TEST(Lrpe, FastMatchesOracle) {
    expect_fast_matches_oracle(
        [&](const Kernels& k, CpuBed& bed, DType dtype) {
            std::vector<OwnedTensor> out;
            const int64_t N = 130, H = 3, D = 20;
            const OwnedTensor fused = exact_normal(bed, dtype, {N, 2 * H * D}, 1);
            const Tensor x = fused.slice(1, H * D, 2 * H * D).split_last(H, D);
            const OwnedTensor theta = exact_normal(bed, dtype, {H, D}, 2, 0.3);
            const OwnedTensor positions = bed.integers({N}, 3, 0, 16);
            const OwnedTensor dy = exact_normal(bed, dtype, {N, H, 2 * D}, 4);
            out.push_back(bed.zeros(dtype, {N, H, 2 * D}));
            out.push_back(bed.zeros(dtype, {N, H, D}));
            out.push_back(exact_normal(bed, acc_of(dtype), {H, D}, 5));
            out.push_back(bed.zeros(dtype, {N, H, D}));
            k.lrpe_forward(bed.stream(), out[0], x, theta, positions);
            k.lrpe_backward(bed.stream(), out[1], out[2], dy, x, theta, positions);
            k.lrpe_backward(bed.stream(), out[3], {}, dy, x, theta, positions);
            return out;
        },
        2e-6);
}

// The same rounding of the angle as the oracle's, below and above its change of rule, at angles far
// out.
TEST(Lrpe, FarPositionsAgreeInF32AndWithF32Theta) {
    CpuBed bed;
    const int64_t N = 200, H = 2, D = 17;
    for (DType dtype : {DType::f32, DType::bf16}) {
        const OwnedTensor x = bed.normal(dtype, {N, H, D}, 1);
        const OwnedTensor theta = bed.normal(DType::f32, {H, D}, 2);
        const OwnedTensor positions = bed.integers({N}, 3, 0, 3000000);
        set_value(positions, 0, kExactAngleFrom - 1);
        set_value(positions, 1, kExactAngleFrom);
        set_value(positions, 2, 2147483647);
        const OwnedTensor y = bed.zeros(dtype, {N, H, 2 * D}), z = bed.zeros(dtype, {N, H, 2 * D});
        cpu_kernels().lrpe_forward(bed.stream(), y, x, theta, positions);
        cpu_oracle_kernels().lrpe_forward(bed.stream(), z, x, theta, positions);
        EXPECT_TRUE(close(y, z, dtype == DType::f32 ? 2e-7 : 4e-3));
    }
}

} // namespace
} // namespace tnl
