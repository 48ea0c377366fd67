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
    cpu_oracle_kernels().norm_forward(bed.stream(), y, {}, x, NormKind::srms, {}, 0.01f);
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
        k.norm_forward(bed.stream(), y, stats, x, kind, w, eps);
        return dot(dy, y);
    };
    loss();
    k.norm_backward(bed.stream(), dx, weights_for(kind, dweight, dbias), dy, x, stats, kind, w,
                    false, false);
    EXPECT_TRUE(gradcheck("x", x, dx, loss));
    if (kind != NormKind::srms) {
        EXPECT_TRUE(gradcheck("weight", weight, dweight, loss));
    }
    if (kind == NormKind::layer) {
        EXPECT_TRUE(gradcheck("bias", bias, dbias, loss));
    }
}

// From its output srms has the gradient that it has from its input.
TEST(Norm, BackwardOfTheOutput) {
    CpuBed bed;
    for (const Kernels* k : {&cpu_oracle_kernels(), &cpu_kernels()})
        for (DType dtype : {DType::f64, DType::f32}) {
            const OwnedTensor x = bed.normal(dtype, {7, 300}, 1),
                              dy = bed.normal(dtype, {7, 300}, 2);
            const OwnedTensor y = bed.zeros(dtype, {7, 300}), dx = bed.zeros(dtype, {7, 300});
            const OwnedTensor of_output = bed.zeros(dtype, {7, 300});
            const OwnedTensor stats = bed.zeros(acc_of(dtype), {7, 2});
            k->norm_forward(bed.stream(), y, stats, x, NormKind::srms, {}, 0.01f);
            k->norm_backward(bed.stream(), dx, {}, dy, x, stats, NormKind::srms, {}, false, false);
            k->norm_backward(bed.stream(), of_output, {}, dy, y, stats, NormKind::srms, {}, true,
                             false);
            for (int64_t i = 0; i < x.size(); ++i)
                EXPECT_NEAR(value_at(of_output, i), value_at(dx, i),
                            dtype == DType::f64 ? 1e-14 : 2e-6);
        }
}

TEST(SrmsGate, GradientsAreFiniteDifferences) {
    CpuBed bed;
    const Kernels& k = cpu_oracle_kernels();
    const auto zeros = [&](std::initializer_list<int64_t> dims) {
        return bed.zeros(DType::f64, dims);
    };
    const OwnedTensor x = bed.normal(DType::f64, {5, 11}, 1),
                      dy = bed.normal(DType::f64, {5, 11}, 2);
    const OwnedTensor g = bed.normal(DType::f64, {5, 11}, 3);
    const OwnedTensor y = zeros({5, 11}), dx = zeros({5, 11}), dg = zeros({5, 11});
    const OwnedTensor again = zeros({5, 11}), stats = zeros({5, 2});
    const auto loss = [&] {
        k.srms_gate_forward(bed.stream(), y, stats, x, g, 0.03f, Activation::silu);
        return dot(dy, y);
    };
    loss();
    k.srms_gate_backward(bed.stream(), dx, dg, again, dy, x, g, stats, Activation::silu);
    EXPECT_TRUE(identical(again, y));
    EXPECT_TRUE(gradcheck("x", x, dx, loss));
    EXPECT_TRUE(gradcheck("g", g, dg, loss));
}

// Forward, backward written and added, gradients of weights added.
void compare_norms(NormKind kind, int64_t N, int64_t C) {
    expect_fast_matches_oracle(
        [&](const Kernels& k, CpuBed& bed, DType dtype) {
            std::vector<OwnedTensor> out;
            const Strided x(bed, dtype, N, C, 1);
            const OwnedTensor dy = exact_normal(bed, dtype, {N, C}, 3);
            const OwnedTensor weight = exact_normal(bed, dtype, {C}, 4);
            const OwnedTensor bias = exact_normal(bed, dtype, {C}, 5);
            const NormWeights w = weights_for(kind, weight, bias);
            const DType acc = acc_of(dtype);
            out.push_back(bed.zeros(dtype, {N, C}));            // 0: y
            out.push_back(bed.zeros(acc, {N, 2}));              // 1: stats
            out.push_back(bed.zeros(dtype, {N, C}));            // 2: dx
            out.push_back(exact_normal(bed, dtype, {N, C}, 6)); // 3: dx, added to
            out.push_back(exact_normal(bed, acc, {C}, 7));      // 4: dweight
            out.push_back(exact_normal(bed, acc, {C}, 8));      // 5: dbias
            k.norm_forward(bed.stream(), out[0], out[1], x.view, kind, w, 1e-5f);
            const OwnedTensor stats = bed.zeros(acc, {N, 2}), y = bed.zeros(dtype, {N, C});
            k.norm_forward(bed.stream(), y, stats, x.view, kind, w, 1e-5f);
            k.norm_backward(bed.stream(), out[2], {}, dy, x.view, stats, kind, w, false, false);
            k.norm_backward(bed.stream(), out[3], weights_for(kind, out[4], out[5]), dy, x.view,
                            stats, kind, w, false, true);
            return out;
        },
        2e-6);
}

// y again over dy, dx over dy.
TEST(SrmsGate, FastMatchesOracle) {
    for (Activation act : {Activation::identity, Activation::sigmoid, Activation::exp})
        expect_fast_matches_oracle(
            [&](const Kernels& k, CpuBed& bed, DType dtype) {
                constexpr int64_t N = 40, C = 261;
                std::vector<OwnedTensor> out;
                const Strided x(bed, dtype, N, C, 1), g(bed, dtype, N, C, 2, 0.5);
                for (int i = 0; i < 4; ++i) out.push_back(bed.zeros(dtype, {N, C}));
                out.push_back(exact_normal(bed, dtype, {N, C}, 3)); // 4: dy, then y again
                out.push_back(exact_normal(bed, dtype, {N, C}, 3)); // 5: dy, then dx
                out.push_back(bed.zeros(acc_of(dtype), {N, 2}));    // 6: stats
                k.srms_gate_forward(bed.stream(), out[0], out[6], x.view, g.view, 1e-5f, act);
                k.srms_gate_backward(bed.stream(), out[1], out[2], out[4], out[4], x.view, g.view,
                                     out[6], act);
                k.srms_gate_backward(bed.stream(), out[5], out[3], {}, out[5], x.view, g.view,
                                     out[6], act);
                return out;
            },
            4e-6);
}

TEST_P(EachNorm, FastMatchesOracle) {
    compare_norms(GetParam(), 150, 261);
    compare_norms(GetParam(), 3, 5000);
    // Of one element, the gradient is a difference of equal numbers: no relative error to speak of.
    compare_norms(GetParam(), 2, 7);
}

TEST_P(EachNorm, ForwardMayBeInPlaceAndBackwardMayOverwriteDy) {
    CpuBed bed;
    const Kernels& k = cpu_kernels();
    const OwnedTensor x = bed.normal(DType::f32, {40, 64}, 1);
    const OwnedTensor same = bed.normal(DType::f32, {40, 64}, 1);
    const OwnedTensor y = bed.zeros(DType::f32, {40, 64}), stats = bed.zeros(DType::f32, {40, 2});
    const OwnedTensor weight = bed.normal(DType::f32, {64}, 3),
                      bias = bed.normal(DType::f32, {64}, 4);
    const OwnedTensor dw = bed.zeros(DType::f32, {64}), db = bed.zeros(DType::f32, {64});
    const OwnedTensor dw2 = bed.zeros(DType::f32, {64}), db2 = bed.zeros(DType::f32, {64});
    const NormWeights w = weights_for(GetParam(), weight, bias);
    k.norm_forward(bed.stream(), y, stats, x, GetParam(), w, 1e-5f);
    k.norm_forward(bed.stream(), same, stats, same, GetParam(), w, 1e-5f);
    EXPECT_TRUE(identical(same, y));
    const OwnedTensor dy = bed.normal(DType::f32, {40, 64}, 5),
                      dx = bed.zeros(DType::f32, {40, 64});
    k.norm_backward(bed.stream(), dx, weights_for(GetParam(), dw, db), dy, x, stats, GetParam(), w,
                    false, false);
    k.norm_backward(bed.stream(), dy, weights_for(GetParam(), dw2, db2), dy, x, stats, GetParam(),
                    w, false, false);
    EXPECT_TRUE(identical(dy, dx));
    EXPECT_TRUE(identical(dw2, dw));
    EXPECT_TRUE(identical(db2, db));
}

} // namespace
} // namespace tnl
