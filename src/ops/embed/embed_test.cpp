#include "ops/embed/embed.h"

#include "ops/testbed.h"

namespace tnl {
namespace {

using namespace testing;

TEST(Embed, GradientIsFiniteDifferencesWithRepeatedIds) {
    CpuBed bed;
    const Kernels& k = cpu_oracle_kernels();
    const OwnedTensor table = bed.normal(DType::f64, {6, 5}, 1),
                      w = bed.normal(DType::f64, {9, 5}, 2);
    const OwnedTensor ids = bed.integers({9}, 3, 0, 6), y = bed.zeros(DType::f64, {9, 5});
    const OwnedTensor dtable = bed.zeros(DType::f64, {6, 5});
    k.embed_backward(bed.stream(), dtable, w, ids, 1.5f);
    EXPECT_TRUE(gradcheck("table", table, dtable, [&] {
        k.embed_forward(bed.stream(), y, table, ids, 1.5f);
        return dot(w, y);
    }));
}

TEST(Embed, FastMatchesOracle) {
    for (const int64_t C : {1, 24, 133})
        expect_fast_matches_oracle([&](const Kernels& k, CpuBed& bed, DType dtype) {
            std::vector<OwnedTensor> out;
            const OwnedTensor table = exact_normal(bed, dtype, {50, C}, 1);
            const OwnedTensor ids = bed.integers({400}, 2, 0, 50);
            const OwnedTensor dy = exact_normal(bed, dtype, {400, C}, 3);
            out.push_back(bed.zeros(dtype, {400, C}));
            out.push_back(exact_normal(bed, acc_of(dtype), {50, C}, 4));
            k.embed_forward(bed.stream(), out[0], table, ids, 22.6f);
            k.embed_backward(bed.stream(), out[1], dy, ids, 22.6f);
            return out;
        });
}

} // namespace
} // namespace tnl
