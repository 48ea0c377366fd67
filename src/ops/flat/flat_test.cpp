#include "ops/flat/flat.h"

#include "ops/testbed.h"

#include <bit>
#include <cstring>

namespace tnl {
namespace {

using namespace testing;

TEST(Bias, GradientIsFiniteDifferences) {
    CpuBed bed;
    const Kernels& k = cpu_oracle_kernels();
    const OwnedTensor x = bed.normal(DType::f64, {6, 5}, 1), bias = bed.normal(DType::f64, {5}, 2);
    const OwnedTensor w = bed.normal(DType::f64, {6, 5}, 3), dbias = bed.zeros(DType::f64, {5});
    k.bias_backward(bed.stream(), dbias, w);
    EXPECT_TRUE(gradcheck("bias", bias, dbias, [&] {
        const OwnedTensor y = converted(*bed.device, x, DType::f64);
        k.bias_forward(bed.stream(), y, bias);
        return dot(w, y);
    }));
}

TEST(Flat, FastMatchesOracle) {
    for (const int64_t C : {1, 29, 700})
        expect_fast_matches_oracle(
            [&](const Kernels& k, CpuBed& bed, DType dtype) {
                std::vector<OwnedTensor> out;
                const int64_t N = 333;
                const Strided x(bed, dtype, N, C, 1);
                const OwnedTensor bias = exact_normal(bed, dtype, {C}, 2);
                for (uint64_t i = 0; i < 4; ++i)
                    out.push_back(exact_normal(bed, dtype, {N, C}, 3 + i));
                out.push_back(exact_normal(bed, acc_of(dtype), {C}, 8));
                k.bias_forward(bed.stream(), out[0], bias);
                k.add(bed.stream(), out[1], x.view);
                k.scale(bed.stream(), out[2], 0.3f);
                k.cast(bed.stream(), out[3], x.view);
                k.bias_backward(bed.stream(), out[4], x.view);
                return out;
            },
            2e-6);
}

TEST(Flat, SumsAreTheSameForAnyNumberOfThreads) {
    for (DType dtype : {DType::f64, DType::f32, DType::bf16}) {
        CpuBed one(1), three(3);
        const OwnedTensor x = one.normal(dtype, {777, 301}, 1);
        const Tensor view = x.slice(1, 1, 300);
        double squares = 0, total = 0;
        for (int64_t i = 0; i < view.size(); ++i) {
            squares += value_at(view, i) * value_at(view, i);
            total += value_at(view, i);
        }
        const OwnedTensor a = one.zeros(DType::f64, {1}), b = one.zeros(DType::f64, {1});
        cpu_kernels().sum_squares(one.stream(), a, view);
        cpu_kernels().sum_squares(three.stream(), b, view);
        EXPECT_TRUE(identical(a, b));
        EXPECT_NEAR(value_at(a, 0), squares, 1e-11 * squares);
        cpu_kernels().sum(one.stream(), a, view);
        cpu_kernels().sum(three.stream(), b, view);
        EXPECT_TRUE(identical(a, b));
        EXPECT_NEAR(value_at(a, 0), total, 1e-9);
    }
}

TEST(Flat, CastRoundsToNearestEvenForEveryPattern) {
    // Every upper half with lower halves around the tie, NaN and infinity among them.
    CpuBed bed;
    const uint32_t lows[] = {0x0000, 0x0001, 0x7fff, 0x8000, 0x8001, 0xffff};
    const OwnedTensor x(*bed.device, DType::f32, {65536 * 6}),
        y(*bed.device, DType::bf16, {65536 * 6});
    for (uint32_t high = 0; high < 65536; ++high)
        for (size_t i = 0; i < 6; ++i) {
            const uint32_t bits = high << 16 | lows[i];
            std::memcpy(x.as<float>() + high * 6 + i, &bits, 4);
        }
    cpu_kernels().cast(bed.stream(), y, x);
    const OwnedTensor z(*bed.device, DType::bf16, {65536 * 6});
    cpu_oracle_kernels().cast(bed.stream(), z, x);
    EXPECT_TRUE(identical(y, z));
    const OwnedTensor back(*bed.device, DType::f32, {65536 * 6});
    cpu_kernels().cast(bed.stream(), back, y);
    for (int64_t i = 0; i < back.size(); ++i)
        ASSERT_EQ(std::bit_cast<uint32_t>(back.as<float>()[i]),
                  uint32_t{y.as<bf16>()[i].bits} << 16);
}

TEST(Flat, CastBetweenAllFloatDtypes) {
    CpuBed bed;
    for (DType from : {DType::f64, DType::f32, DType::bf16, DType::f16})
        for (DType to : {DType::f64, DType::f32, DType::bf16, DType::f16}) {
            OwnedTensor x = bed.normal(DType::bf16, {7, 9}, 1);
            x = converted(*bed.device, x, from);
            const OwnedTensor y = bed.zeros(to, {7, 9});
            cpu_kernels().cast(bed.stream(), y, x);
            EXPECT_TRUE(close(y, x, to == DType::f16 ? 1e-7 : 0)) << name_of(from) << name_of(to);
        }
}

TEST(MaskRows, ZeroesWholeTokensOnly) {
    CpuBed bed;
    for (DType dtype : {DType::f64, DType::f32, DType::bf16})
        for (const Kernels* k : {&cpu_kernels(), &cpu_oracle_kernels()}) {
            const OwnedTensor y = bed.normal(dtype, {70, 4, 33}, 1);
            const OwnedTensor before = converted(*bed.device, y, dtype);
            const OwnedTensor mask = bed.integers({70}, 2, 0, 2);
            k->mask_rows(bed.stream(), y, mask);
            for (int64_t i = 0; i < y.size(); ++i)
                ASSERT_EQ(value_at(y, i),
                          value_at(mask, i / (4 * 33)) == 0 ? 0 : value_at(before, i));
        }
}

} // namespace
} // namespace tnl
