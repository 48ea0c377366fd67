// Products of a few rows on the GPU, alone and with what stands around them, against the oracle.
#include "ops/cuda_testbed.h"
#include "ops/gemm/few_rows.h"

namespace tnl::testing {
namespace {

using Before = FewRows::Before;
using After = FewRows::After;
constexpr int64_t kShapes[][2] = {{2, 1},     {6, 43},     {64, 64},   {130, 72},
                                  {96, 1024}, {514, 2816}, {34, 4104}, {9000, 136}};

// The dense entry: packs of 16 bytes or not, each count of rows.
TEST(CudaFewRows, DenseEntry) {
    TNL_NEEDS_GPU();
    for (const int64_t M : {1, 2, 9})
        for (const auto& [N, K] : kShapes)
            for (int flags = 0; flags < 4; ++flags)
                for (const int64_t gap : {0, 3, 8}) {
                    const bool adds = flags & 1, to_acc = flags & 2;
                    compare(
                        [=, N = N, K = K](Bed& bed) {
                            const int64_t odd = N + 1; // rows of b
                            const Tensor a = bed.input({M, K}, 1, gap);
                            const Tensor b = bed.input({odd, K}, 1, gap);
                            const bool wide = to_acc && bed.dtype == DType::bf16;
                            Tensor c = wide ? bed.acc_input({M, odd}) : bed.input({M, odd}, 1, gap);
                            if (!adds)
                                c = wide ? bed.acc_output({M, odd}) : bed.output({M, odd}, gap);
                            bed.kernels.gemm(bed.stream(), c, a, b, false, true, 1,
                                             adds ? 1.0f : 0.0f);
                            bed.keep("c", c);
                        },
                        fmt::format("few rows {}x{}x{} flags {} gap {}", M, N + 1, K, flags, gap));
                }
}

struct Form {
    Before before;
    After after;
    bool adds = false;
};

TEST(CudaFewRows, WithWhatStandsAround) {
    TNL_NEEDS_GPU();
    const Form forms[] = {{Before::nothing, After::nothing, true},
                          {Before::srms, After::nothing},
                          {Before::srms, After::activation},
                          {Before::srms, After::gate},
                          {Before::srms_gate, After::nothing, true},
                          {Before::srms_gate, After::gate},
                          {Before::nothing, After::gate}};
    for (const int64_t M : {1, 2, 5, 8})
        for (const auto& [N, K] : kShapes)
            for (const Form& form : forms)
                for (const int64_t gap : {0, 3, 8}) {
                    if (!fits_few_rows(M, K, 4)) continue;
                    compare(
                        [=, N = N, K = K](Bed& bed) {
                            FewRows call;
                            call.a = bed.input({M, K}, 2, gap);
                            call.b = bed.input({N, K}, 1, gap);
                            call.g = bed.input({M, K}, 2, gap);
                            call.before = form.before;
                            call.after = form.after;
                            call.eps = 1e-5f;
                            call.gate_act = Activation::silu;
                            call.act = M % 2 ? Activation::silu : Activation::sigmoid;
                            call.acted = N / 2 + 1;
                            call.beta = form.adds ? 1 : 0;
                            const Bed::Dims dims{M, form.after == After::gate ? N / 2 : N};
                            call.c = form.adds ? bed.input(dims, 1, gap) : bed.output(dims, gap);
                            if (form.before != Before::srms_gate) call.g = {};
                            if (form.after != After::activation) call.acted = 0;
                            bed.kernels.few_rows(bed.stream(), call);
                            bed.keep("c", call.c);
                        },
                        fmt::format("few rows {}x{}x{} before {} after {} gap {}", M, N, K,
                                    static_cast<int>(form.before), static_cast<int>(form.after),
                                    gap),
                        {}, {DType::f32, DType::bf16});
                }
}

// Each begins while the one before ends, and reads what that one wrote.
TEST(CudaFewRows, AChainIsItsLinks) {
    TNL_NEEDS_GPU();
    for (const int64_t M : {1, 2, 5, 8}) {
        const auto chain = [&](bool wait) {
            Bed bed(*gpu(), *cuda_kernels(), DType::bf16, DType::bf16);
            const int64_t C = 512, F = 1408;
            const Tensor x = bed.input({M, C}), h = bed.output({M, F});
            for (int layer = 0; layer < 12; ++layer) {
                FewRows in, out;
                in.a = x;
                in.b = bed.input({2 * F, C}, 0.1);
                in.c = h;
                in.before = Before::srms;
                in.eps = 1e-5f;
                in.after = After::gate;
                out.a = h;
                out.b = bed.input({C, F}, 0.1);
                out.c = x;
                out.beta = 1;
                gpu()->synchronize();
                for (int i = 0; i < 5; ++i)
                    for (const FewRows* call : {&in, &out}) {
                        bed.kernels.few_rows(bed.stream(), *call);
                        if (wait) gpu()->synchronize();
                    }
            }
            return bed.get(x);
        };
        const std::vector<double> one = chain(true), other = chain(false);
        EXPECT_FALSE(std::isnan(one.front()));
        EXPECT_EQ(one, other) << M;
    }
}

TEST(CudaFewRows, RefusesWhatABlockDoesNotHold) {
    TNL_NEEDS_GPU();
    Bed bed(*gpu(), *cuda_kernels(), DType::f32, DType::f32);
    FewRows call;
    call.a = bed.input({8, 11008});
    call.b = bed.input({4, 11008});
    call.c = bed.output({8, 4});
    EXPECT_FALSE(bed.kernels.few_rows_pays(8, 11008, DType::f32));
    EXPECT_THROW(bed.kernels.few_rows(bed.stream(), call), Error);
}

TEST(CudaArgmax, AsTheOracle) {
    TNL_NEEDS_GPU();
    for (const int64_t V : {1, 31, 43, 1024, 4099, 64000})
        for (const int64_t gap : {0, 3})
            compare(
                [=](Bed& bed) {
                    const Tensor x = bed.input({5, V}, 1, gap);
                    const double inf = INFINITY;
                    std::vector<std::vector<double>> rows(3);
                    for (auto& row : rows) row.assign(static_cast<size_t>(V), -1);
                    rows[0][static_cast<size_t>(V / 2)] = NAN;
                    rows[1][static_cast<size_t>(V - 1)] = inf;
                    rows[2].assign(static_cast<size_t>(V), -inf);
                    std::vector<double> all;
                    for (const auto& row : rows) all.insert(all.end(), row.begin(), row.end());
                    const Tensor odd = bed.values({3, V}, bed.dtype, all);
                    const Tensor ties = bed.values(
                        {1, V}, bed.dtype, std::vector<double>(static_cast<size_t>(V), 0.25));
                    std::vector<double> got;
                    for (const Tensor& t : {x, odd, ties}) {
                        const Tensor ids =
                            bed.ints(std::vector<int32_t>(static_cast<size_t>(t.shape[0]), 7));
                        bed.kernels.argmax(bed.stream(), ids, t);
                        std::vector<int32_t> host(static_cast<size_t>(t.shape[0]));
                        bed.device.download(host.data(), ids.data, host.size() * sizeof(int32_t));
                        got.insert(got.end(), host.begin(), host.end());
                    }
                    EXPECT_EQ(got[5], -1);
                    EXPECT_EQ(got[6], -1);
                    EXPECT_EQ(got[7], -1);
                    EXPECT_EQ(got[8], 0);
                    bed.keep("ids",
                             bed.values({static_cast<int64_t>(got.size())}, DType::f64, got));
                },
                fmt::format("argmax of {} gap {}", V, gap), {0, 0, 0, 0});
}

} // namespace
} // namespace tnl::testing
