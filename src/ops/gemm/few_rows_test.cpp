#include "ops/gemm/few_rows.h"

#include "ops/testbed.h"

namespace tnl {
namespace {

using namespace testing;
using Before = FewRows::Before;
using After = FewRows::After;

struct Form {
    Before before;
    After after;
    bool adds = false, wide = false;
};
constexpr Form kForms[] = {
    {Before::nothing, After::nothing},
    {Before::nothing, After::nothing, true},
    {Before::nothing, After::nothing, false, true},
    {Before::nothing, After::nothing, true, true},
    {Before::srms, After::activation},
    {Before::srms_gate, After::nothing, true},
    {Before::srms, After::gate},
    {Before::srms_gate, After::gate},
};

struct Inputs {
    Inputs(CpuBed& bed, DType dtype, int64_t M, int64_t N, int64_t K, const Form& form)
        : a(bed, dtype, M, K, 1), b(bed, dtype, N, K, 2, 0.3), g(bed, dtype, M, K, 3),
          c(exact_normal(bed, form.wide ? acc_of(dtype) : dtype,
                         {M, form.after == After::gate ? N / 2 : N}, 4)) {}
    Strided a, b, g;
    OwnedTensor c;
};

FewRows call_of(const Inputs& in, const Form& form) {
    FewRows call;
    call.c = in.c;
    call.a = in.a.view;
    call.b = in.b.view;
    call.before = form.before;
    call.eps = 1e-5f;
    if (form.before == Before::srms_gate) call.g = in.g.view;
    call.gate_act = Activation::silu;
    call.after = form.after;
    call.act = Activation::silu;
    call.acted = form.after == After::activation ? call.b.shape[0] / 2 : 0;
    call.beta = form.adds ? 1 : 0;
    return call;
}

// The same by the entries that it stands for.
void by_parts(CpuBed& bed, const FewRows& call) {
    const Kernels& k = cpu_oracle_kernels();
    const DType dtype = call.a.dtype;
    const int64_t M = call.a.shape[0], N = call.b.shape[0];
    const OwnedTensor x = converted(*bed.device, call.a, dtype);
    if (call.before == Before::srms)
        k.norm_forward(bed.stream(), x, {}, x, NormKind::srms, {}, call.eps);
    if (call.before == Before::srms_gate)
        k.srms_gate_forward(bed.stream(), x, {}, x, call.g, call.eps, call.gate_act);
    if (call.after == After::nothing)
        return k.gemm(bed.stream(), call.c, x, call.b, false, true, 1, call.beta);
    const OwnedTensor y(*bed.device, dtype, {M, N});
    k.gemm(bed.stream(), y, x, call.b, false, true, 1, 0);
    if (call.after == After::gate)
        return k.gate_forward(bed.stream(), call.c, y.slice(1, N / 2, N), y.slice(1, 0, N / 2),
                              call.act);
    const Tensor acted = y.slice(1, 0, call.acted);
    k.act_forward(bed.stream(), acted, acted, call.act);
    k.cast(bed.stream(), call.c, y);
}

TEST(FewRows, IsItsParts) {
    for (const DType dtype : {DType::f64, DType::f32, DType::bf16})
        for (const Form& form : kForms)
            for (const int64_t M : {1, 3, 8})
                for (const auto& [N, K] : {std::pair<int64_t, int64_t>{2, 1}, {14, 37}, {64, 96}}) {
                    SCOPED_TRACE(fmt::format("{} M {} N {} K {} before {} after {} adds {}",
                                             name_of(dtype), M, N, K, static_cast<int>(form.before),
                                             static_cast<int>(form.after), form.adds));
                    CpuBed bed(1);
                    const Inputs one(bed, dtype, M, N, K, form), two(bed, dtype, M, N, K, form);
                    cpu_oracle_kernels().few_rows(bed.stream(), call_of(one, form));
                    by_parts(bed, call_of(two, form));
                    EXPECT_TRUE(identical(one.c, two.c));
                }
}

// Every pack of every row of b belongs to one warp, whatever the sizes.
TEST(FewRowsPlan, CoversEverythingOnce) {
    for (const int64_t N : {2, 6, 1000, 4096, 64000})
        for (const int64_t K : {8, 72, 1024, 2816, 11008})
            for (const bool gate : {false, true})
                for (const auto& [M, sms] :
                     {std::pair<int64_t, int>{1, 132}, {2, 1}, {4, 78}, {8, 132}}) {
                    if (!fits_few_rows(M, K, 2)) continue;
                    const FewRowsShape s{M, N, K, gate ? N / 2 : N};
                    const FewRowsPlan p = plan_few_rows(s, gate, 8, 2, sms);
                    SCOPED_TRACE(fmt::format("M {} N {} K {} gate {} sms {}", M, N, K, gate, sms));
                    EXPECT_EQ(p.pairs, N / 2);
                    EXPECT_GE(p.split_packs * p.splits, K / 8);
                    EXPECT_EQ(FewRowsPlan::kWarps % p.splits, 0);
                    // Blocks in rounds: no block without work, none left over.
                    EXPECT_GE(p.blocks, 1);
                    EXPECT_LT((p.blocks - 1) * p.pairs_per_block(), p.pairs);
                    EXPECT_LE(p.blocks, sms * FewRowsPlan::resident(M));
                    EXPECT_LE(p.blocks / sms * p.shared, 227 * 1024);
                    EXPECT_EQ(p.shared, M * K * 2);
                }
    EXPECT_EQ(plan_few_rows({1, 7, 16, 7}, false, 8, 2, 132).pairs, 4); // the last has one row
}

// On an H100 the narrow matrices of 385M, too, give each multiprocessor 15 warps or more.
TEST(FewRowsPlan, KeepsTheMemoryBusy) {
    for (const auto& [N, K, gate] : {std::tuple<int64_t, int64_t, bool>{4096, 1024, false},
                                     {1024, 1024, false},
                                     {5632, 1024, true},
                                     {1024, 2816, false},
                                     {64000, 1024, false}}) {
        const FewRowsPlan p = plan_few_rows({1, N, K, gate ? N / 2 : N}, gate, 8, 2, 132);
        EXPECT_GE(p.blocks * FewRowsPlan::kWarps, 132 * 15) << N << " " << K;
    }
}

TEST(FewRows, FitsWhatABlockHolds) {
    EXPECT_TRUE(fits_few_rows(8, 4096, 2));
    EXPECT_TRUE(fits_few_rows(4, 11008, 2));
    EXPECT_FALSE(fits_few_rows(8, 11008, 2));
    EXPECT_FALSE(fits_few_rows(9, 64, 2));
}

TEST(FewRows, MisfitsAreNamed) {
    CpuBed bed;
    const Form plain{Before::nothing, After::nothing}, gate{Before::srms, After::gate};
    const Inputs in(bed, DType::f32, 2, 6, 4, plain), gated(bed, DType::f32, 2, 6, 4, gate);
    const auto refuses = [&](FewRows call) {
        EXPECT_THROW(cpu_oracle_kernels().few_rows(bed.stream(), call), Error);
    };
    FewRows call = call_of(in, plain);
    call.c = gated.c;
    refuses(call);
    call = call_of(gated, gate);
    call.beta = 1;
    refuses(call);
    call = call_of(gated, gate);
    call.act = Activation::exp;
    refuses(call);
    call = call_of(in, plain);
    call.before = Before::srms_gate;
    refuses(call);
    const Inputs many(bed, DType::f32, 9, 6, 4, plain);
    refuses(call_of(many, plain));
}

} // namespace
} // namespace tnl
