#include "ops/softmax/softmax.h"

#include "ops/testbed.h"

namespace tnl {
namespace {

using namespace testing;

// Sequences of a call: B rows of T tokens, or packed ones.
struct Case {
    const char* name;
    int64_t B, T, H, K, D;
    std::vector<int32_t> offsets;
};
const Case kShort[] = {
    {"rows", 2, 9, 3, 3, 4, {}},
    {"one_token", 3, 1, 2, 2, 6, {}},
    {"grouped", 1, 11, 6, 2, 5, {}},
    {"packed", 1, 23, 2, 2, 4, {0, 7, 7, 8, 23}},
    {"packed_grouped", 1, 23, 4, 1, 4, {0, 12, 23}},
};
// More than a block of keys and several of queries.
const Case kLong[] = {
    {"long", 1, 301, 2, 1, 16, {}},
    {"packed_long", 1, 700, 1, 1, 8, {0, 65, 341, 700}},
};
class EachCase : public ::testing::TestWithParam<Case> {};
class ShortCase : public EachCase {};
std::string name_of_case(const ::testing::TestParamInfo<Case>& given) { return given.param.name; }
INSTANTIATE_TEST_SUITE_P(Softmax, ShortCase, ::testing::ValuesIn(kShort), name_of_case);
INSTANTIATE_TEST_SUITE_P(Softmax, EachCase, ::testing::ValuesIn(kShort), name_of_case);
INSTANTIATE_TEST_SUITE_P(SoftmaxLong, EachCase, ::testing::ValuesIn(kLong), name_of_case);

Tensor offsets_of(const Case& c) {
    if (c.offsets.empty()) return {};
    return Tensor(const_cast<int32_t*>(c.offsets.data()), DType::i32,
                  {static_cast<int64_t>(c.offsets.size())});
}

// q, k and v as slices of one projection, as the model has them.
struct Inputs {
    Inputs(CpuBed& bed, const Case& c, DType dtype, bool gradients)
        : whole(gradients ? bed.zeros(dtype, {c.B, c.T, (c.H + 2 * c.K) * c.D})
                          : exact_normal(bed, dtype, {c.B, c.T, (c.H + 2 * c.K) * c.D}, 1)),
          q(whole.slice(2, 0, c.H * c.D).split_last(c.H, c.D)),
          k(whole.slice(2, c.H * c.D, (c.H + c.K) * c.D).split_last(c.K, c.D)),
          v(whole.slice(2, (c.H + c.K) * c.D, (c.H + 2 * c.K) * c.D).split_last(c.K, c.D)) {}
    OwnedTensor whole;
    Tensor q, k, v;
};

SoftmaxForward forward_call(const Case& c, const Inputs& in, const Tensor& o, const Tensor& lse) {
    SoftmaxForward call;
    call.q = in.q;
    call.k = in.k;
    call.v = in.v;
    call.o = o;
    call.lse = lse;
    call.cu_seqlens = offsets_of(c);
    call.scale = 0.7f;
    return call;
}

SoftmaxBackward backward_call(const Case& c, const Inputs& in, const Inputs& d, const Tensor& o,
                              const Tensor& lse, const Tensor& dout) {
    SoftmaxBackward call;
    call.q = in.q;
    call.k = in.k;
    call.v = in.v;
    call.dq = d.q;
    call.dk = d.k;
    call.dv = d.v;
    call.o = o;
    call.lse = lse;
    call.dout = dout;
    call.cu_seqlens = offsets_of(c);
    call.scale = 0.7f;
    return call;
}

// Uniform weights where all scores are equal: an output is the mean of the values so far.
TEST(Softmax, MeansOfEqualScores) {
    CpuBed bed;
    const Case c{"", 1, 6, 1, 1, 2, {0, 4, 6}};
    for (const Kernels* k : {&cpu_oracle_kernels(), &cpu_kernels()}) {
        Inputs in(bed, c, DType::f32, true);
        for (int64_t t = 0; t < 6; ++t) set_value(in.v, 2 * t, static_cast<double>(t));
        const OwnedTensor o = bed.zeros(DType::f32, {1, 6, 1, 2}),
                          lse = bed.zeros(DType::f32, {1, 6, 1});
        k->softmax_forward(bed.stream(), forward_call(c, in, o, lse));
        for (int64_t t = 0; t < 6; ++t) {
            const auto first = static_cast<double>(t < 4 ? 0 : 4), at = static_cast<double>(t);
            EXPECT_NEAR(value_at(o, 2 * t), (first + at) / 2, 1e-6);
            EXPECT_NEAR(value_at(lse, t), std::log(at - first + 1), 1e-6);
        }
    }
}

TEST_P(ShortCase, GradientsAreFiniteDifferences) {
    const Case& c = GetParam();
    CpuBed bed;
    const Kernels& k = cpu_oracle_kernels();
    const Inputs in(bed, c, DType::f64, false), d(bed, c, DType::f64, true);
    const OwnedTensor o = bed.zeros(DType::f64, {c.B, c.T, c.H, c.D}),
                      lse = bed.zeros(DType::f64, {c.B, c.T, c.H}),
                      w = bed.normal(DType::f64, {c.B, c.T, c.H, c.D}, 2);
    const auto loss = [&] {
        k.softmax_forward(bed.stream(), forward_call(c, in, o, lse));
        return dot(w, o);
    };
    loss();
    k.softmax_backward(bed.stream(), backward_call(c, in, d, o, lse, w));
    EXPECT_TRUE(gradcheck("q, k and v", in.whole, d.whole, loss));
}

TEST_P(EachCase, FastMatchesOracle) {
    const Case& c = GetParam();
    expect_fast_matches_oracle(
        [&](const Kernels& k, CpuBed& bed, DType dtype) {
            std::vector<OwnedTensor> out;
            out.push_back(bed.zeros(dtype, {c.B, c.T, c.H, c.D}));
            out.push_back(bed.zeros(acc_of(dtype), {c.B, c.T, c.H}));
            const Inputs in(bed, c, dtype, false);
            Inputs d(bed, c, dtype, true);
            const OwnedTensor dout = exact_normal(bed, dtype, {c.B, c.T, c.H, c.D}, 2);
            k.softmax_forward(bed.stream(), forward_call(c, in, out[0], out[1]));
            k.softmax_backward(bed.stream(), backward_call(c, in, d, out[0], out[1], dout));
            out.push_back(std::move(d.whole));
            return out;
        },
        3e-6);
}

// Scores far beyond what exp holds: a row's largest is subtracted first.
TEST(Softmax, LargeScores) {
    CpuBed bed;
    const Case c{"", 1, 300, 1, 1, 4, {}};
    const Inputs in(bed, c, DType::f32, false);
    bed.device->synchronize();
    for (int64_t i = 0; i < in.q.size(); ++i) {
        set_value(in.q, i, 40 * value_at(in.q, i));
        set_value(in.k, i, 40 * value_at(in.k, i));
    }
    const OwnedTensor o = bed.zeros(DType::f32, {1, 300, 1, 4}),
                      plain = bed.zeros(DType::f32, {1, 300, 1, 4}),
                      lse = bed.zeros(DType::f32, {1, 300, 1}),
                      plain_lse = bed.zeros(DType::f32, {1, 300, 1});
    cpu_kernels().softmax_forward(bed.stream(), forward_call(c, in, o, lse));
    cpu_oracle_kernels().softmax_forward(bed.stream(), forward_call(c, in, plain, plain_lse));
    EXPECT_TRUE(close(lse, plain_lse, 1e-6));
    EXPECT_TRUE(close(o, plain, 2e-3)); // scores of thousands have steps of 2e-4
}

TEST(Softmax, RejectsWhatDoesNotFit) {
    CpuBed bed;
    const Case c{"", 1, 6, 4, 2, 2, {0, 4, 6}};
    const Inputs in(bed, c, DType::f32, false);
    const OwnedTensor o = bed.zeros(DType::f32, {1, 6, 4, 2}),
                      lse = bed.zeros(DType::f32, {1, 6, 4});
    const auto call = [&](auto change) {
        SoftmaxForward f = forward_call(c, in, o, lse);
        change(f);
        cpu_kernels().softmax_forward(bed.stream(), f);
    };
    EXPECT_NO_THROW(call([](SoftmaxForward&) {}));
    EXPECT_THROW(call([&](SoftmaxForward& f) { f.k = f.q; }), Error);
    EXPECT_THROW(call([&](SoftmaxForward& f) { f.lse = {}; }), Error);
    EXPECT_THROW(call([&](SoftmaxForward& f) { f.scale = 0; }), Error);
    EXPECT_THROW(call([&](SoftmaxForward& f) { f.q = f.q.slice(1, 0, 5); }), Error);
    for (const std::vector<int32_t>& wrong : {std::vector<int32_t>{0, 5}, {1, 6}, {0, 7, 6}})
        EXPECT_THROW(call([&](SoftmaxForward& f) {
                         f.cu_seqlens = Tensor(const_cast<int32_t*>(wrong.data()), DType::i32,
                                               {std::ssize(wrong)});
                     }),
                     Error);
}

TEST(Softmax, EqualLengths) {
    const auto length = [](std::vector<int32_t> offsets) {
        const auto n = static_cast<int64_t>(offsets.size()) - 1;
        const SoftmaxShape shape{1, offsets.back(), 1, 1, 8, n, DType::f32};
        return equal_length(shape, Tensor(offsets.data(), DType::i32, {n + 1}));
    };
    EXPECT_EQ(length({0, 5, 10, 15}), 5);
    EXPECT_EQ(length({0, 15}), 15);
    EXPECT_EQ(length({0, 5, 9, 15}), 0);
    EXPECT_EQ(length({0, 5, 10, 15, 15}), 0);
    EXPECT_EQ(equal_length({4, 7, 1, 1, 8, 4, DType::f32}, {}), 7);
}

} // namespace
} // namespace tnl
