// Lightning attention on the GPU against the token-by-token oracle in f64.
#include "base/rng.h"
#include "ops/cuda_testbed.h"

#include <cmath>

namespace tnl::testing {
namespace {

struct Shape {
    int64_t B, T, H, D, E;
};

struct Options {
    bool states = true;
    bool strided = false;
    std::vector<int32_t> cu_seqlens; // empty: B sequences of T
    float scale = 1;
};

Tensor slopes(Bed& bed, int64_t H) {
    const double laws[] = {0.0, 4e-8, 0.84, 8.0, 0.1};
    std::vector<double> s;
    for (int64_t h = 0; h < H; ++h)
        s.push_back(static_cast<double>(static_cast<float>(laws[h % 5])));
    return bed.values({H}, bed.acc, s);
}

// [B,T,H,W], strided as a part of a wider projection would be.
Tensor heads(Bed& bed, const Shape& s, int64_t width, bool strided, bool output = false) {
    const Bed::Dims rows{s.B * s.T, s.H * width};
    // Strides that the copy engine takes, where widths are ones.
    const int64_t gap = strided ? 3 * width + (width % 8 == 0 ? 8 : 1) : 0;
    const Tensor flat = output ? bed.output(rows, gap) : bed.input(rows, 1, gap);
    return flat.split_last(s.H, width).split_first(s.B, s.T);
}

int64_t sequences(const Shape& s, const Options& o) {
    return o.cu_seqlens.empty() ? s.B : static_cast<int64_t>(o.cu_seqlens.size()) - 1;
}

Tensor offsets(const Options& o) { // host memory
    if (o.cu_seqlens.empty()) return {};
    return Tensor(const_cast<int32_t*>(o.cu_seqlens.data()), DType::i32,
                  {static_cast<int64_t>(o.cu_seqlens.size())});
}

LightningShape shape_of(const Shape& s, const Options& o, DType dtype) {
    return {s.B, s.T, s.H, s.D, s.E, sequences(s, o), dtype};
}

void forward(Bed& bed, const Shape& s, const Options& o) {
    LightningForward call;
    call.q = heads(bed, s, s.D, o.strided);
    call.k = heads(bed, s, s.D, o.strided);
    call.v = heads(bed, s, s.E, o.strided);
    call.o = heads(bed, s, s.E, o.strided, true);
    call.slopes = slopes(bed, s.H);
    const Bed::Dims state{sequences(s, o), s.H, s.D, s.E};
    if (o.states) {
        call.state_in = bed.acc_input(state);
        call.state_out = bed.acc_output(state);
    }
    call.cu_seqlens = offsets(o);
    call.scale = o.scale;
    call.workspace = bed.bytes(bed.kernels.lightning_workspace(shape_of(s, o, bed.dtype), false));
    bed.kernels.lightning_forward(bed.stream(), call);
    bed.keep("o", call.o);
    if (!o.states) return;
    bed.keep("state", call.state_out);
    call.state_out = call.state_in;
    bed.kernels.lightning_forward(bed.stream(), call);
    bed.keep("state in place", call.state_out);
}

void backward(Bed& bed, const Shape& s, const Options& o) {
    LightningBackward call;
    call.q = heads(bed, s, s.D, o.strided);
    call.k = heads(bed, s, s.D, o.strided);
    call.v = heads(bed, s, s.E, o.strided);
    call.dout = heads(bed, s, s.E, o.strided);
    call.dq = heads(bed, s, s.D, o.strided, true);
    call.dk = heads(bed, s, s.D, o.strided, true);
    call.dv = heads(bed, s, s.E, o.strided, true);
    call.slopes = slopes(bed, s.H);
    const Bed::Dims state{sequences(s, o), s.H, s.D, s.E};
    if (o.states) {
        call.state_in = bed.acc_input(state);
        call.dstate_out = bed.acc_input(state);
        call.dstate_in = bed.acc_output(state);
    }
    call.cu_seqlens = offsets(o);
    call.scale = o.scale;
    call.workspace = bed.bytes(bed.kernels.lightning_workspace(shape_of(s, o, bed.dtype), true));
    bed.kernels.lightning_backward(bed.stream(), call);
    bed.keep("dq", call.dq);
    bed.keep("dk", call.dk);
    bed.keep("dv", call.dv);
    if (o.states) bed.keep("dstate", call.dstate_in);
}

std::string name(const Shape& s, const Options& o) {
    return fmt::format("B={} T={} H={} D={} E={} states={} strided={} packed={}", s.B, s.T, s.H,
                       s.D, s.E, o.states, o.strided, o.cu_seqlens.size());
}

// In bf16 and f16 the operands of products are rounded once, half a unit in the last place, and so
// states, which are sums of products, are off by as much.
const Tolerance kTolerance{.bf16_floor = 0x1p-9};

void both(const Shape& s, const Options& o,
          const std::vector<DType>& dtypes = {DType::f64, DType::f32, DType::bf16, DType::f16}) {
    compare([&](Bed& bed) { forward(bed, s, o); }, "forward " + name(s, o), kTolerance, dtypes);
    compare([&](Bed& bed) { backward(bed, s, o); }, "backward " + name(s, o), kTolerance, dtypes);
}

TEST(CudaLightning, Lengths) {
    TNL_NEEDS_GPU();
    for (int64_t T : {2, 31, 32, 33, 63, 64, 65, 200}) both({2, T, 5, 32, 32}, {});
}

TEST(CudaLightning, Widths) {
    TNL_NEEDS_GPU();
    const int64_t widths[][2] = {{1, 1},     {43, 43}, {64, 64},   {96, 96},  {17, 65},  {65, 17},
                                 {128, 128}, {129, 7}, {256, 128}, {24, 256}, {255, 251}};
    for (const auto& [D, E] : widths) both({1, 70, 3, D, E}, {});
}

TEST(CudaLightning, WithoutStatesStridedScaled) {
    TNL_NEEDS_GPU();
    Options o;
    o.states = false;
    o.scale = 0.125f;
    both({2, 100, 2, 64, 48}, o);
    o.strided = true;
    both({2, 100, 2, 43, 64}, o);
    o.states = true;
    both({2, 100, 5, 40, 64}, o);
}

TEST(CudaLightning, PackedSequences) {
    TNL_NEEDS_GPU();
    Options o;
    o.cu_seqlens = {0, 1, 1, 64, 129, 129, 230, 230};
    both({1, 230, 3, 64, 64}, o);
    o.strided = true;
    o.scale = 0.5f;
    both({1, 230, 2, 48, 40}, o);
    o.states = false;
    both({1, 230, 2, 48, 40}, o);
    o.cu_seqlens = {0, 1};
    both({1, 1, 2, 48, 40}, o);
    // The tokens of the next sequence, infinite ones too, are none of ours.
    o.states = true;
    o.cu_seqlens = {0, 37, 100, 230};
    both({1, 230, 3, 128, 128}, o);
}

// Lengths about the chunk of 64, in the layout of the released models.
TEST(CudaLightning, WideHeads) {
    TNL_NEEDS_GPU();
    for (int64_t T : {1, 2, 63, 64, 65, 127, 128, 129, 200, 300}) both({2, T, 5, 128, 128}, {});
    Options o;
    o.scale = 0.125f;
    for (int64_t D : {16, 64, 96, 104, 128})
        for (int64_t E : {16, 64, 96, 104, 128}) both({2, 150, 2, D, E}, o);
    o.states = false;
    both({3, 300, 4, 128, 128}, o);
}

// Beyond 128 keys, whose state two warpgroups share.
TEST(CudaLightning, HugeHeads) {
    TNL_NEEDS_GPU();
    for (const auto& [D, E] :
         {std::pair<int64_t, int64_t>{136, 64}, {256, 200}, {192, 192}, {64, 256}, {256, 256}})
        both({2, 150, 1, D, E}, {});
    both({1, 1100, 1, 256, 192}, {});
    Options o;
    o.cu_seqlens = {0, 37, 100, 230};
    both({1, 230, 1, 200, 256}, o);
}

// Enough of them that blocks take 128 columns, two blocks a head.
TEST(CudaLightning, ManyHeads) {
    TNL_NEEDS_GPU();
    const std::vector<DType> dtypes{DType::bf16, DType::f16};
    both({1, 129, 34, 256, 256}, {}, {DType::bf16});
    both({2, 66, 22, 192, 192}, {}, {DType::f16});
    both({1, 30, 50, 136, 144}, {}, dtypes);
}

// Widths that leave one of the blocks, or half of one, without columns.
TEST(CudaLightning, ManyHeadsOfOneBlock) {
    TNL_NEEDS_GPU();
    const std::vector<DType> dtypes{DType::bf16};
    both({1, 70, 70, 128, 120}, {}, dtypes);
    both({1, 66, 24, 256, 96}, {}, dtypes);
    both({1, 30, 70, 192, 96}, {}, dtypes);
}

TEST(CudaLightning, ManyHeadsPacked) {
    TNL_NEEDS_GPU();
    const std::vector<DType> dtypes{DType::bf16};
    Options o;
    o.scale = 0.125f;
    o.strided = true;
    o.cu_seqlens = {0, 9, 9, 20, 105};
    both({1, 105, 9, 256, 200}, o, dtypes);
    o.strided = false;
    o.states = false;
    both({1, 105, 12, 192, 192}, o, dtypes);
}

// Few heads and many tokens: sequences are walked in segments.
TEST(CudaLightning, Segments) {
    TNL_NEEDS_GPU();
    both({1, 2048, 5, 128, 128}, {});
    both({1, 2061, 2, 64, 64}, {});
    both({2, 3001, 2, 32, 128}, {});
    Options o;
    o.scale = 0.5f;
    o.cu_seqlens = {0, 1, 1, 64, 3129, 3129, 3230, 6000};
    both({1, 6000, 2, 64, 64}, o);
    o.states = false;
    both({1, 6000, 1, 128, 96}, o);
}

TEST(CudaLightning, SegmentsOfManyWideHeads) {
    TNL_NEEDS_GPU();
    const Shape s{1, 1030, 20, 136, 136};
    compare([&](Bed& bed) { forward(bed, s, {}); }, "forward " + name(s, {}), kTolerance,
            {DType::bf16, DType::f16});
}

TEST(CudaLightning, Long) {
    TNL_NEEDS_GPU();
    both({1, 913, 5, 64, 64}, {});
}

void decode_of(std::initializer_list<std::array<int64_t, 2>> widths) {
    for (const auto& [D, E] : widths)
        for (const bool states : {true, false}) {
            Options o;
            o.states = states;
            o.scale = 0.5f;
            o.strided = D == 64;
            both({3, 1, 5, D, E}, o);
        }
}
TEST(CudaLightning, Decode) {
    TNL_NEEDS_GPU();
    decode_of({{64, 64}, {128, 128}, {256, 128}});
}
TEST(CudaLightning, DecodeOfOddWidths) {
    TNL_NEEDS_GPU();
    decode_of({{1, 1}, {43, 43}, {17, 66}, {255, 250}});
}
TEST(CudaLightning, DecodeInBlocksOf64Columns) {
    TNL_NEEDS_GPU();
    both({64, 1, 8, 8, 64}, {});
    both({64, 1, 8, 20, 43}, {});
    both({64, 1, 8, 136, 36}, {}, {DType::f32});
}

// A rate of 5e-6 is the slowest of a released model's last layers: rounding lambda itself to f32
// would change it by 0.6 %.
TEST(CudaLightning, DecodeKeepsTheDigitsOfASlowDecay) {
    TNL_NEEDS_GPU();
    constexpr int64_t kWidth = 128;
    constexpr double kSlope = 5e-6;
    Bed bed(*gpu(), *cuda_kernels(), DType::f32, DType::f32);
    std::vector<double> before;
    for (int64_t i = 0; i < kWidth * kWidth; ++i)
        before.push_back(1 + Philox{7, 1}.uniform(static_cast<uint64_t>(i)));
    LightningForward call;
    call.q = call.k = call.v =
        bed.values({1, kWidth}, DType::f32, std::vector<double>(kWidth)).reshape({1, 1, 1, kWidth});
    call.o = bed.output({1, kWidth}).reshape({1, 1, 1, kWidth});
    call.slopes = bed.values({1}, DType::f32, {kSlope});
    call.state_in = call.state_out =
        bed.values({1, kWidth * kWidth}, DType::f32, before).reshape({1, 1, kWidth, kWidth});
    before = bed.get(call.state_in);
    bed.kernels.lightning_forward(bed.stream(), call);
    const std::vector<double> after = bed.get(call.state_out);
    double change = 0; // its mean over many numbers is finer than the last place of one
    for (size_t i = 0; i < before.size(); ++i)
        change += (after[i] / before[i] - 1) / (kWidth * kWidth);
    EXPECT_NEAR(change / std::expm1(-kSlope), 1, 1e-3);
}

// States in any order, some of them nobody's; offsets that only the GPU knows.
TEST(CudaLightning, SlotsAndOffsetsOnTheDevice) {
    TNL_NEEDS_GPU();
    const std::vector<int32_t> offsets{0, 1, 64, 64, 190}, slots{3, -1, 0, 5};
    const auto run = [&](Bed& bed, bool decode, bool in_place) {
        const Shape s{decode ? 4 : 1, decode ? 1 : 190, 3, 64, 128};
        LightningForward call;
        call.q = heads(bed, s, s.D, false);
        call.k = heads(bed, s, s.D, false);
        call.v = heads(bed, s, s.E, false);
        call.o = heads(bed, s, s.E, false, true);
        call.slopes = slopes(bed, s.H);
        call.state_in = bed.acc_input({7, s.H, s.D, s.E});
        call.state_out = in_place ? call.state_in : bed.acc_input({7, s.H, s.D, s.E});
        call.slots = bed.ints(slots);
        Options o;
        o.cu_seqlens = decode ? std::vector<int32_t>{} : offsets;
        call.workspace =
            bed.bytes(bed.kernels.lightning_workspace(shape_of(s, o, bed.dtype), false));
        if (!decode) call.cu_seqlens = bed.ints(offsets);
        call.offsets_on_device = true;
        bed.kernels.lightning_forward(bed.stream(), call);
        bed.keep("o", call.o);
        bed.keep("state", call.state_out);
    };
    for (const bool decode : {true, false})
        for (const bool in_place : {true, false})
            compare([&](Bed& bed) { run(bed, decode, in_place); }, "slots", kTolerance,
                    {DType::f64, DType::f32, DType::bf16, DType::f16});
}

TEST(CudaLightning, SlotsOfTheBackward) {
    TNL_NEEDS_GPU();
    const std::vector<int32_t> slots{3, -1, 0, 5};
    for (const auto& cu_seqlens : {std::vector<int32_t>{0, 1, 64, 64, 190},
                                   std::vector<int32_t>{0, 3000, 3050, 3051, 7000}}) {
        const Shape s{1, cu_seqlens.back(), 3, 64, 128};
        Options o;
        o.cu_seqlens = cu_seqlens;
        compare(
            [&](Bed& bed) {
                LightningBackward call;
                call.q = heads(bed, s, s.D, false);
                call.k = heads(bed, s, s.D, false);
                call.v = heads(bed, s, s.E, false);
                call.dout = heads(bed, s, s.E, false);
                call.dq = heads(bed, s, s.D, false, true);
                call.dk = heads(bed, s, s.D, false, true);
                call.dv = heads(bed, s, s.E, false, true);
                call.slopes = slopes(bed, s.H);
                call.state_in = bed.acc_input({7, s.H, s.D, s.E});
                call.dstate_out = bed.acc_input({7, s.H, s.D, s.E});
                call.dstate_in = bed.acc_input({7, s.H, s.D, s.E}); // slots of none stay
                call.slots = bed.ints(slots);
                call.cu_seqlens = offsets(o);
                call.workspace =
                    bed.bytes(bed.kernels.lightning_workspace(shape_of(s, o, bed.dtype), true));
                bed.kernels.lightning_backward(bed.stream(), call);
                bed.keep("dq", call.dq);
                bed.keep("dk", call.dk);
                bed.keep("dv", call.dv);
                bed.keep("dstate", call.dstate_in);
            },
            "slots", kTolerance, {DType::f64, DType::f32, DType::bf16, DType::f16});
    }
}

TEST(CudaLightning, NoTokensLeaveTheState) {
    TNL_NEEDS_GPU();
    Options o;
    o.cu_seqlens = {0, 0, 0};
    compare(
        [&](Bed& bed) {
            LightningForward call;
            const Tensor none = bed.output({1, 0, 2, 8});
            call.q = call.k = call.v = call.o = none;
            call.slopes = slopes(bed, 2);
            call.state_in = bed.acc_input({2, 2, 8, 8});
            call.state_out = bed.acc_output({2, 2, 8, 8});
            call.cu_seqlens = offsets(o);
            call.workspace = bed.bytes(
                bed.kernels.lightning_workspace(shape_of({1, 0, 2, 8, 8}, o, bed.dtype), false));
            bed.kernels.lightning_forward(bed.stream(), call);
            bed.keep("state", call.state_out);
        },
        "no tokens", kTolerance);
}

// A token is no use to those before it: bits of the first outputs do not depend on what follows.
TEST(CudaLightning, Causal) {
    TNL_NEEDS_GPU();
    for (DType dtype : {DType::f32, DType::bf16}) {
        const auto first = [&](int64_t T) {
            Bed bed(*gpu(), *cuda_kernels(), dtype, dtype);
            const Shape s{1, 128, 2, 64, 64};
            LightningForward call;
            call.q = heads(bed, s, s.D, false).slice(1, 0, T);
            call.k = heads(bed, s, s.D, false).slice(1, 0, T);
            call.v = heads(bed, s, s.E, false).slice(1, 0, T);
            call.o = heads(bed, s, s.E, false, true).slice(1, 0, T);
            call.slopes = slopes(bed, s.H);
            bed.kernels.lightning_forward(bed.stream(), call);
            return bed.get(call.o.slice(1, 0, 40));
        };
        EXPECT_EQ(first(40), first(128));
    }
}

} // namespace
} // namespace tnl::testing
