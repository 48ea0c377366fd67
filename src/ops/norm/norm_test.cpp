#include "ops/norm/norm.h"

#include "ops/testbed.h"

namespace tnl {
namespace {

using namespace testing;

class EachNorm : public ::testing::TestWithParam<NormKind> {};
INSTANTIATE_TEST_SUITE_P(All, EachNorm,
                         ::testing::Values(NormKind::srms, NormKind::rms, NormKind::layer),
                         [](const auto& given) {
                             return given.param == NormKind::srms  ? "srms"
                                    : given.param == NormKind::rms ? "rms"
                                                                   : "layer";
                         });

NormWeights weights_for(NormKind kind, const Tensor& weight, const Tensor& bias) {
    if (kind == NormKind::srms) return {};
    if (kind == NormKind::rms) return {weight, {}};
    return {weight, bias};
}

TEST(Norm, SrmsIsTheFormula) {
    CpuBed bed;
    const OwnedTensor x = bed.normal(DType::f64, {3, 5}, 1), y = bed.zeros(DType::f64, {3, 5});
    cpu_oracle_kernels().norm_forward(bed.stream(), {}, y, {}, x, {}, NormKind::srms, {}, 0.01f);
    for (int64_t n = 0; n < 3; ++n) {
        double squares = 0;
        for (int64_t c = 0; c < 5; ++c) squares += std::pow(value_at(x, n * 5 + c), 2);
        for (int64_t c = 0; c < 5; ++c)
            EXPECT_NEAR(value_at(y, n * 5 + c),
                        value_at(x, n * 5 + c) /
                            std::sqrt(squares / 5 + static_cast<double>(0.01f)),
                        1e-14);
    }
}

TEST_P(EachNorm, GradientsAreFiniteDifferences) {
    const NormKind kind = GetParam();
    CpuBed bed;
    const Kernels& k = cpu_oracle_kernels();
    const OwnedTensor x = bed.normal(DType::f64, {5, 11}, 1),
                      dy = bed.normal(DType::f64, {5, 11}, 2);
    const OwnedTensor weight = bed.normal(DType::f64, {11}, 3),
                      bias = bed.normal(DType::f64, {11}, 4);
    const OwnedTensor y = bed.zeros(DType::f64, {5, 11}), dx = bed.zeros(DType::f64, {5, 11});
    const OwnedTensor stats = bed.zeros(DType::f64, {5, 2});
    const OwnedTensor dweight = bed.zeros(DType::f64, {11}), dbias = bed.zeros(DType::f64, {11});
    const NormWeights w = weights_for(kind, weight, bias);
    const float eps = 0.03f;
    const auto loss = [&] {
        k.norm_forward(bed.stream(), {}, y, stats, x, {}, kind, w, eps);
        return dot(dy, y);
    };
    loss();
    k.norm_backward(bed.stream(), dx, weights_for(kind, dweight, dbias), dy, x, stats, kind, w,
                    false);
    EXPECT_TRUE(gradcheck("x", x, dx, loss));
    if (kind != NormKind::srms) {
        EXPECT_TRUE(gradcheck("weight", weight, dweight, loss));
    }
    if (kind == NormKind::layer) {
        EXPECT_TRUE(gradcheck("bias", bias, dbias, loss));
    }
}

// Forward with and without the residual, backward written and added, gradients of weights added.
void compare_norms(NormKind kind, int64_t N, int64_t C) {
    expect_fast_matches_oracle(
        [&](const Kernels& k, CpuBed& bed, DType dtype) {
            std::vector<OwnedTensor> out;
            const Strided x(bed, dtype, N, C, 1), delta(bed, dtype, N, C, 2, 0.5);
            const OwnedTensor dy = exact_normal(bed, dtype, {N, C}, 3);
            const OwnedTensor weight = exact_normal(bed, dtype, {C}, 4);
            const OwnedTensor bias = exact_normal(bed, dtype, {C}, 5);
            const NormWeights w = weights_for(kind, weight, bias);
            const DType acc = acc_of(dtype);
            out.push_back(bed.zeros(dtype, {N, C}));            // 0: h
            out.push_back(bed.zeros(dtype, {N, C}));            // 1: y
            out.push_back(bed.zeros(acc, {N, 2}));              // 2: stats
            out.push_back(bed.zeros(dtype, {N, C}));            // 3: y without the residual
            out.push_back(bed.zeros(dtype, {N, C}));            // 4: dx
            out.push_back(exact_normal(bed, dtype, {N, C}, 6)); // 5: dx, added to
            out.push_back(exact_normal(bed, acc, {C}, 7));      // 6: dweight
            out.push_back(exact_normal(bed, acc, {C}, 8));      // 7: dbias
            k.norm_forward(bed.stream(), out[0], out[1], out[2], x.view, delta.view, kind, w,
                           1e-5f);
            k.norm_forward(bed.stream(), {}, out[3], {}, x.view, {}, kind, w, 1e-5f);
            const OwnedTensor stats = bed.zeros(acc, {N, 2}), y = bed.zeros(dtype, {N, C});
            k.norm_forward(bed.stream(), {}, y, stats, x.view, {}, kind, w, 1e-5f);
            k.norm_backward(bed.stream(), out[4], {}, dy, x.view, stats, kind, w, false);
            k.norm_backward(bed.stream(), out[5], weights_for(kind, out[6], out[7]), dy, x.view,
                            stats, kind, w, true);
            return out;
        },
        2e-6);
}

TEST_P(EachNorm, FastMatchesOracle) {
    compare_norms(GetParam(), 150, 261);
    compare_norms(GetParam(), 3, 5000);
    // Of one element, the gradient is a difference of equal numbers: no relative error to speak of.
    compare_norms(GetParam(), 2, 7);
}

TEST_P(EachNorm, SumMayBeInPlaceAndBackwardMayOverwriteDy) {
    CpuBed bed;
    const Kernels& k = cpu_kernels();
    const OwnedTensor x = bed.normal(DType::f32, {40, 64}, 1),
                      delta = bed.normal(DType::f32, {40, 64}, 2);
    const OwnedTensor h = bed.zeros(DType::f32, {40, 64}), y = bed.zeros(DType::f32, {40, 64});
    const OwnedTensor y2 = bed.zeros(DType::f32, {40, 64}), stats = bed.zeros(DType::f32, {40, 2});
    const OwnedTensor weight = bed.normal(DType::f32, {64}, 3),
                      bias = bed.normal(DType::f32, {64}, 4);
    const OwnedTensor dw = bed.zeros(DType::f32, {64}), db = bed.zeros(DType::f32, {64});
    const OwnedTensor dw2 = bed.zeros(DType::f32, {64}), db2 = bed.zeros(DType::f32, {64});
    const NormWeights w = weights_for(GetParam(), weight, bias);
    k.norm_forward(bed.stream(), h, y, stats, x, delta, GetParam(), w, 1e-5f);
    k.norm_forward(bed.stream(), x, y2, stats, x, delta, GetParam(), w, 1e-5f);
    EXPECT_TRUE(identical(x, h));
    EXPECT_TRUE(identical(y2, y));
    const OwnedTensor dy = bed.normal(DType::f32, {40, 64}, 5),
                      dx = bed.zeros(DType::f32, {40, 64});
    k.norm_backward(bed.stream(), dx, weights_for(GetParam(), dw, db), dy, h, stats, GetParam(), w,
                    false);
    k.norm_backward(bed.stream(), dy, weights_for(GetParam(), dw2, db2), dy, h, stats, GetParam(),
                    w, false);
    EXPECT_TRUE(identical(dy, dx));
    EXPECT_TRUE(identical(dw2, dw));
    EXPECT_TRUE(identical(db2, db));
}

} // namespace
} // namespace tnl
