#include "ops/gemm/few_rows.h"

#include "ops/gemm/gemm.h"
#include "ops/rows.h"

#include <algorithm>

namespace tnl {
namespace {

constexpr int64_t kWarpsPerSm = 12;      // at least, where there are so many rows
constexpr int64_t kSmBytes = 220 * 1024; // of shared memory, for all blocks of a multiprocessor
constexpr int64_t kLanes = 32;
constexpr int64_t kSharedBytes = 96 * 1024;

void check_activation(Activation act) {
    TNL_CHECK(act != Activation::exp, "few_rows: activation exp, wanted one of a number alone");
}

} // namespace

FewRowsShape check_few_rows(const FewRows& call) {
    const auto [M, K] = call.a.dims<2>("few_rows: a");
    const auto [N, width] = call.b.dims<2>("few_rows: b");
    const bool gate = call.after == FewRows::After::gate;
    const bool plain = call.after == FewRows::After::nothing;
    TNL_CHECK(M <= kFewRows, "few_rows: {} rows, wanted at most {}", M, kFewRows);
    TNL_CHECK(width == K && K > 0, "few_rows: b has shape {}, wanted [N, {}], more than 0 columns",
              call.b.shape_string(), K);
    TNL_CHECK(N <= INT32_MAX / 4, "few_rows: {} rows of b, wanted at most {}", N, INT32_MAX / 4);
    TNL_CHECK(!gate || N % 2 == 0, "few_rows: {} rows of b, wanted an even number for a gate", N);
    const int64_t columns = gate ? N / 2 : N;
    TNL_CHECK(call.c.is({M, columns}), "few_rows: c has shape {}, wanted [{}, {}]",
              call.c.shape_string(), M, columns);
    TNL_CHECK(call.a.dtype == call.b.dtype, "few_rows: a is {}, b is {}", name_of(call.a.dtype),
              name_of(call.b.dtype));
    TNL_CHECK(call.c.dtype == call.a.dtype ||
                  (plain && call.c.dtype == accumulator_dtype(call.a.dtype)),
              "few_rows: c is {}, wanted {}{}", name_of(call.c.dtype), name_of(call.a.dtype),
              plain ? " or what sums are kept in" : "");
    TNL_CHECK(call.beta == 0 || (call.beta == 1 && plain), "few_rows: beta is {}, wanted 0{}",
              call.beta, plain ? " or 1" : " where something comes after");
    TNL_CHECK(call.acted >= 0 && call.acted <= N, "few_rows: acted is {}, wanted 0 to {}",
              call.acted, N);
    check_activation(call.act);
    check_activation(call.gate_act);
    if (call.before == FewRows::Before::srms_gate)
        TNL_CHECK(call.g.is({M, K}) && call.g.dtype == call.a.dtype,
                  "few_rows: g is {} {}, wanted {} [{}, {}]", name_of(call.g.dtype),
                  call.g.shape_string(), name_of(call.a.dtype), M, K);
    for (const Tensor* t : {&call.a, &call.b, &call.c, &call.g})
        if (t->rank == 2)
            TNL_CHECK(
                t->stride[1] == 1 || t->shape[1] <= 1,
                "few_rows: a tensor of shape {} has stride {} in its last dimension, wanted 1",
                t->shape_string(), t->stride[1]);
    return {M, N, K, columns};
}

FewRowsPlan plan_few_rows(const FewRowsShape& shape, bool gate, int pack, int64_t element,
                          int sms) {
    FewRowsPlan plan;
    plan.pairs = gate ? shape.columns : (shape.N + 1) / 2;
    const int64_t packs = shape.K / pack;
    while (plan.splits < FewRowsPlan::kWarps && plan.pairs * plan.splits < sms * kWarpsPerSm &&
           packs >= 2 * plan.splits * kLanes)
        plan.splits *= 2;
    plan.split_packs = (packs + plan.splits - 1) / plan.splits;
    const int64_t wanted = (plan.pairs + plan.pairs_per_block() - 1) / plan.pairs_per_block();
    plan.shared = shape.M * shape.K * element;
    // All at once, in rounds of equal size.
    const int64_t at_once = sms * std::clamp<int64_t>(kSmBytes / (plan.shared + 2048), 1,
                                                      FewRowsPlan::resident(shape.M));
    const int64_t rounds = (wanted + at_once - 1) / at_once;
    plan.blocks = rounds == 0 ? 0 : (wanted + rounds - 1) / rounds;
    return plan;
}

bool fits_few_rows(int64_t M, int64_t K, int64_t element) {
    return M <= kFewRows && M * K * element <= kSharedBytes;
}

} // namespace tnl
