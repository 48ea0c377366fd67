// What products of 8 bits make of a linear layer's results.
#include "model/linear.h"

#include "ops/testbed.h"

namespace tnl {
namespace {

using namespace testing;

struct Results {
    OwnedTensor y, dx, dw;
};

// One forward and backward of a layer 64 -> 96 without bias, on 160 rows; x, W and dy are normal.
Results results_of(CpuBed& bed, DType dtype, Products products, Linear::Width width) {
    const int64_t N = 160, in = 64, out = 96;
    ParamTable table;
    const Linear linear(table, {"l"}, in, out, false, width);
    const DType acc = dtype == DType::f64 ? DType::f64 : DType::f32;
    const OwnedTensor x = exact_normal(bed, dtype, {N, in}, 1),
                      w = exact_normal(bed, dtype, {table.flat_size()}, 2, 0.02),
                      dy = exact_normal(bed, dtype, {N, out}, 3, 1e-6);
    Results r{bed.zeros(dtype, {N, out}), bed.zeros(dtype, {N, in}),
              bed.zeros(acc, {table.flat_size()})};
    const auto call = [&](Arena& arena) {
        Run run{bed.stream(), cpu_kernels(), arena, dtype, {}, products};
        linear.forward(run, w, r.y, x);
        const auto scope = arena.scope();
        const Linear::Gradient gradient = linear.gradient(run, w, dy);
        linear.backward_input(run, w, r.dx, gradient);
        linear.backward_weights(run, w, Gradients{r.dw}, gradient, x);
    };
    Arena scratch("scratch", *bed.device, 1 << 20);
    call(scratch);
    return r;
}

double relative_norm(const Tensor& got, const Tensor& wanted) {
    double error = 0, size = 0;
    for (int64_t i = 0; i < wanted.size(); ++i) {
        error += std::pow(value_at(got, i) - value_at(wanted, i), 2);
        size += std::pow(value_at(wanted, i), 2);
    }
    return std::sqrt(error / size);
}

// Rounding to 3 digits behind the point is off by 2.6 % of a number in the mean, to 2 digits by
// 5.2 %; both operands' errors are independent, and so the product's is the root of their squares'
// sum: 3.7 % forward, 5.8 % backward.
TEST(LinearInEightBits, ErrorsAreThoseOfRounding) {
    CpuBed bed;
    const Results exact = results_of(bed, DType::f64, Products::dtype, Linear::Width::any);
    const Results fp8 = results_of(bed, DType::bf16, Products::fp8, Linear::Width::any);
    for (const auto& [got, wanted, expected] :
         {std::tuple(&fp8.y, &exact.y, 0.037), std::tuple(&fp8.dx, &exact.dx, 0.058),
          std::tuple(&fp8.dw, &exact.dw, 0.058)}) {
        EXPECT_LT(relative_norm(*got, *wanted), 1.2 * expected);
        EXPECT_GT(relative_norm(*got, *wanted), 0.6 * expected); // it is 8 bits
    }
}

TEST(LinearInEightBits, NotWhereTheLayerKeepsItsDtype) {
    CpuBed bed;
    const Results plain = results_of(bed, DType::bf16, Products::dtype, Linear::Width::dtype);
    const Results kept = results_of(bed, DType::bf16, Products::fp8, Linear::Width::dtype);
    EXPECT_TRUE(identical(kept.y, plain.y));
    EXPECT_TRUE(identical(kept.dx, plain.dx));
    EXPECT_TRUE(identical(kept.dw, plain.dw));
}

} // namespace
} // namespace tnl
