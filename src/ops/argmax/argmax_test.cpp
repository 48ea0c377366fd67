#include "ops/testbed.h"

namespace tnl {
namespace {

using namespace testing;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<int32_t> chosen(const Kernels& k, DType dtype,
                            const std::vector<std::vector<double>>& rows) {
    CpuBed bed;
    const auto N = static_cast<int64_t>(rows.size()), V = static_cast<int64_t>(rows[0].size());
    const OwnedTensor wide(*bed.device, dtype, {N, V + 3}), ids(*bed.device, DType::i32, {N});
    fill(wide, 1e6); // what lies beside the rows is not looked at
    const Tensor x = wide.slice(1, 1, 1 + V);
    for (int64_t i = 0; i < N * V; ++i)
        set_value(x, i, rows[static_cast<size_t>(i / V)][static_cast<size_t>(i % V)]);
    k.argmax(bed.stream(), ids, x);
    return {ids.as<int32_t>(), ids.as<int32_t>() + N};
}

TEST(Argmax, LargestThenLowestAndNoneWhereNotFinite) {
    for (const Kernels* k : {&cpu_kernels(), &cpu_oracle_kernels()})
        for (const DType dtype : {DType::f64, DType::f32, DType::bf16}) {
            EXPECT_EQ(chosen(*k, dtype,
                             {{1, 3, 2, 3},
                              {-5, -kInf, -5, -7},
                              {0, kNaN, 1, 2},
                              {0, 1, kInf, 2},
                              {-kInf, -kInf, -kInf, -kInf},
                              {-kInf, -kInf, -kInf, -3e38}}),
                      (std::vector<int32_t>{1, 0, -1, -1, -1, 3}));
            EXPECT_EQ(chosen(*k, dtype, {{4}, {-kInf}}), (std::vector<int32_t>{0, -1}));
        }
}

TEST(Argmax, MisfitsAreNamed) {
    CpuBed bed;
    const OwnedTensor x = bed.zeros(DType::f32, {2, 3}), ids(*bed.device, DType::i32, {3}),
                      floats = bed.zeros(DType::f32, {2});
    EXPECT_THROW(cpu_kernels().argmax(bed.stream(), ids, x), Error);
    EXPECT_THROW(cpu_kernels().argmax(bed.stream(), floats, x), Error);
}

} // namespace
} // namespace tnl
