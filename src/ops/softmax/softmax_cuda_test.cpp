// Softmax attention on the GPU against the oracle: by cuDNN where there is one, and by our own
// kernels.
#include "ops/softmax/softmax_cuda.h"

#include "ops/cuda_testbed.h"

namespace tnl::testing {
namespace {

struct Case {
    int64_t B, T, H, K, D;
    std::vector<int32_t> offsets; // packed
    std::string name() const {
        return fmt::format("softmax B={} T={} H={} K={} D={} sequences={}", B, T, H, K, D,
                           offsets.empty() ? B : static_cast<int64_t>(offsets.size()) - 1);
    }
};

// Widths that cuDNN takes and others; sequences within, on and across tiles.
const Case kCases[] = {
    {2, 1, 2, 2, 8, {}},
    {2, 33, 3, 3, 16, {}},
    {1, 300, 2, 2, 64, {}},
    {2, 257, 4, 2, 128, {}},
    {3, 70, 4, 1, 24, {}},
    {2, 50, 2, 2, 5, {}},
    {1, 90, 2, 1, 200, {}},
    {1, 60, 2, 2, 32, {0, 20, 40, 60}},
    {1, 200, 3, 3, 32, {0, 1, 1, 18, 130, 200}},
    {1, 411, 2, 2, 128, {0, 255, 256, 411}},
    {1, 150, 4, 2, 16, {0, 77, 77, 150}},
};

using Forward = std::function<void(Bed&, const SoftmaxForward&)>;
using Backward = std::function<void(Bed&, const SoftmaxBackward&)>;

// Both ways through one fused projection, as the model has it. What lse holds is the device's own.
Program program(const Case& c, const Forward& forward, const Backward& backward) {
    return [=](Bed& bed) {
        const int64_t width = (c.H + 2 * c.K) * c.D;
        const auto split = [&](const Tensor& all) {
            return std::array<Tensor, 3>{
                all.slice(2, 0, c.H * c.D).split_last(c.H, c.D),
                all.slice(2, c.H * c.D, (c.H + c.K) * c.D).split_last(c.K, c.D),
                all.slice(2, (c.H + c.K) * c.D, width).split_last(c.K, c.D)};
        };
        const Tensor whole = bed.input({c.B, c.T, width}, 2);
        const Tensor dwhole = bed.output({c.B, c.T, width});
        const auto in = split(whole), d = split(dwhole);
        std::vector<int32_t> offsets = c.offsets;
        const SoftmaxShape shape{
            c.B, c.T, c.H, c.K, c.D, offsets.empty() ? c.B : std::ssize(offsets) - 1, bed.dtype};
        SoftmaxForward f;
        f.q = in[0];
        f.k = in[1];
        f.v = in[2];
        f.o = bed.output({c.B, c.T, c.H, c.D});
        f.lse = bed.acc_output({c.B, c.T, c.H});
        if (!offsets.empty())
            f.cu_seqlens = Tensor(offsets.data(), DType::i32, {std::ssize(offsets)});
        f.scale = 0.3f;
        f.workspace = bed.bytes(bed.kernels.softmax_workspace(shape, false));
        forward(bed, f);
        SoftmaxBackward b;
        b.q = f.q;
        b.k = f.k;
        b.v = f.v;
        b.o = f.o;
        b.lse = f.lse;
        b.dout = bed.input({c.B, c.T, c.H, c.D});
        b.dq = d[0];
        b.dk = d[1];
        b.dv = d[2];
        b.cu_seqlens = f.cu_seqlens;
        b.scale = f.scale;
        b.workspace = bed.bytes(bed.kernels.softmax_workspace(shape, true));
        backward(bed, b);
        bed.keep("o", f.o);
        bed.keep("dq", b.dq);
        bed.keep("dk", b.dk);
        bed.keep("dv", b.dv);
    };
}

// P and dS are rounded to bf16 where tensor cores multiply them, which the oracle's are not.
constexpr Tolerance kTolerance{.f32 = 2e-5, .bf16_floor = 1.5e-2};

TEST(CudaSoftmax, AsTheTableHasIt) {
    TNL_NEEDS_GPU();
    fmt::print("{}\n", cuda_kernels()->softmax_plan(DType::bf16));
    for (const Case& c : kCases)
        compare(program(
                    c,
                    [](Bed& bed, const SoftmaxForward& f) {
                        bed.kernels.softmax_forward(bed.stream(), f);
                    },
                    [](Bed& bed, const SoftmaxBackward& b) {
                        bed.kernels.softmax_backward(bed.stream(), b);
                    }),
                c.name(), kTolerance);
}

// Our own kernels in bf16, too, which the table leaves to cuDNN where it can.
TEST(CudaSoftmax, OwnKernels) {
    TNL_NEEDS_GPU();
    const auto offsets = [](Bed& bed, const Tensor& cu) -> const int32_t* {
        if (!cu.rank) return nullptr;
        const int32_t* at = cu.as<int32_t>();
        return bed.ints({at, at + cu.size()}).as<int32_t>();
    };
    for (const Case& c : kCases)
        compare(program(
                    c,
                    [&](Bed& bed, const SoftmaxForward& f) {
                        if (bed.device.kind() == DeviceKind::cpu)
                            return bed.kernels.softmax_forward(bed.stream(), f);
                        softmax_forward_plain(cuda_of(bed.stream()), f, check(f),
                                              offsets(bed, f.cu_seqlens));
                    },
                    [&](Bed& bed, const SoftmaxBackward& b) {
                        if (bed.device.kind() == DeviceKind::cpu)
                            return bed.kernels.softmax_backward(bed.stream(), b);
                        softmax_backward_plain(cuda_of(bed.stream()), b, check(b),
                                               offsets(bed, b.cu_seqlens));
                    }),
                "own " + c.name(), {.f32 = 2e-5, .bf16_floor = 1e-4});
}

// cuDNN computes what it says it does: heads of 8 to 128, dense and packed.
TEST(CudaSoftmax, CudnnTakesWhatItCan) {
    TNL_NEEDS_GPU();
    if (!softmax_cudnn_version().starts_with("cuDNN")) GTEST_SKIP() << softmax_cudnn_version();
    for (const Case& c : kCases) {
        const bool packed_groups = !c.offsets.empty() && c.K != c.H;
        const bool fits = c.D % 8 == 0 && c.D <= 128 && !packed_groups;
        Bed bed(*gpu(), *cuda_kernels(), DType::bf16, DType::bf16);
        program(
            c,
            [&](Bed& b, const SoftmaxForward& f) {
                EXPECT_EQ(softmax_forward_cudnn(cuda_of(b.stream()), f, check(f)), fits)
                    << c.name();
                if (!fits) b.kernels.softmax_forward(b.stream(), f);
            },
            [&](Bed& b, const SoftmaxBackward& d) {
                EXPECT_EQ(softmax_backward_cudnn(cuda_of(b.stream()), d, check(d)), fits)
                    << c.name();
                if (!fits) b.kernels.softmax_backward(b.stream(), d);
            })(bed);
        gpu()->synchronize();
    }
}

// Sequences too long for dP as a whole: dQ is then summed as blocks come to their end, so that the
// last bits of two runs may differ, no more.
TEST(CudaSoftmax, LongSequences) {
    TNL_NEEDS_GPU();
    const Case c{1, 24000, 1, 1, 64, {}};
    const auto run = [&](const Forward& forward, const Backward& backward) {
        Bed bed(*gpu(), *cuda_kernels(), DType::bf16, DType::bf16);
        program(c, forward, backward)(bed);
        gpu()->synchronize();
        return bed.kept;
    };
    const auto table =
        run([](Bed& b, const SoftmaxForward& f) { b.kernels.softmax_forward(b.stream(), f); },
            [](Bed& b, const SoftmaxBackward& d) { b.kernels.softmax_backward(b.stream(), d); });
    const auto own = run(
        [](Bed& b, const SoftmaxForward& f) {
            softmax_forward_plain(cuda_of(b.stream()), f, check(f), nullptr);
        },
        [](Bed& b, const SoftmaxBackward& d) {
            softmax_backward_plain(cuda_of(b.stream()), d, check(d), nullptr);
        });
    for (size_t i = 0; i < table.size(); ++i)
        EXPECT_LT(relative_error(table[i].values, own[i].values), 2e-2) << table[i].name;
}

TEST(CudaRope, BothWays) {
    TNL_NEEDS_GPU();
    for (int64_t H : {1, 3})
        for (int64_t D : {2, 6, 64, 128})
            for (bool backward : {false, true})
                for (bool in_place : {false, true})
                    compare(
                        [=](Bed& bed) {
                            const int64_t N = 37;
                            const Tensor fused = bed.input({N, (H + 2) * D}, 1, 3);
                            const Tensor x = fused.slice(1, D, (H + 1) * D).split_last(H, D);
                            const Tensor y = in_place ? x : bed.output({N, H, D});
                            std::vector<int32_t> places;
                            for (int32_t n = 0; n < N; ++n) places.push_back(n < 5 ? n : n * 100);
                            bed.kernels.rope(bed.stream(), y, x, bed.ints(places), 10000, backward);
                            bed.keep("y", y);
                        },
                        fmt::format("rope H={} D={} backward {} in place {}", H, D, backward,
                                    in_place),
                        // The oracle in f64 rounds no angle; f32 does, by up to 6e-8 of it.
                        {.f64 = 1e-10, .f32 = 5e-4, .bf16_floor = 6e-3});
}

} // namespace
} // namespace tnl::testing
