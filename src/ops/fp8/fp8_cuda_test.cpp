// Numbers of 8 bits and their products on the GPU, against the oracle.
#include "ops/cuda_testbed.h"
#include "ops/fp8/testbed.h"
#include "testing/compare.h"

namespace tnl::testing {
namespace {

constexpr Fp8Format kFormats[] = {Fp8Format::e4m3, Fp8Format::e5m2};

// A host matrix of bf16, and the same on the GPU with the same row stride.
struct Both {
    Both(int64_t M, int64_t N, int64_t gap, int64_t lead)
        : host_(cpu(), DType::bf16, {M, N + gap + lead}),
          device_(*gpu(), DType::bf16, {M, N + gap + lead}), lead_(lead), N_(N) {
        fill(host_, NAN);
    }
    Tensor host() const { return host_.slice(1, lead_, lead_ + N_); }
    Tensor device() const {
        gpu()->upload(device_.data, host_.data, static_cast<size_t>(host_.bytes()));
        return device_.slice(1, lead_, lead_ + N_);
    }

  private:
    OwnedTensor host_, device_;
    int64_t lead_, N_;
};

void expect_same(const Both& x, Fp8Format format, bool rows, bool columns) {
    const Quantized wanted(cpu_oracle_kernels(), cpu(), x.host(), format);
    Quantized got(*cuda_kernels(), *gpu(), x.device(), format);
    EXPECT_EQ(std::isnan(got.scale()), std::isnan(wanted.scale()));
    if (!std::isnan(wanted.scale())) {
        EXPECT_EQ(got.scale(), wanted.scale());
        EXPECT_EQ(got.codes(), wanted.codes());
        EXPECT_EQ(got.transposed(), wanted.transposed());
    }
    // Each alone, over what another matrix left there.
    const OwnedTensor other(*gpu(), DType::bf16, {x.host().shape[0], x.host().shape[1]});
    gpu()->zero(other.data, static_cast<size_t>(other.bytes()));
    for (const bool by_rows : {true, false}) {
        if (!(by_rows ? rows : columns)) continue;
        cuda_kernels()->fp8_quantize(gpu()->stream(), got.rows, got.columns.codes, other);
        Fp8Matrix y = got.rows;
        if (!by_rows) y.codes = {};
        cuda_kernels()->fp8_quantize(gpu()->stream(), y, by_rows ? Tensor{} : got.columns.codes,
                                     x.device());
        if (!std::isnan(wanted.scale()) && by_rows) {
            EXPECT_EQ(got.codes(), wanted.codes());
        }
        if (!std::isnan(wanted.scale()) && !by_rows) {
            EXPECT_EQ(got.transposed(), wanted.transposed());
        }
    }
}

TEST(CudaFp8, QuantizesAsTheOracle) {
    TNL_NEEDS_GPU();
    const std::pair<int64_t, int64_t> shapes[] = {{1, 1},    {1, 8},     {16, 8},   {3, 130},
                                                  {130, 3},  {128, 128}, {144, 72}, {257, 384},
                                                  {200, 96}, {4100, 24}, {2048, 16}};
    const std::pair<int64_t, int64_t> places[] = {{0, 0}, {8, 0}, {3, 1}, {8, 8}};
    uint64_t seed = 1;
    for (const Fp8Format format : kFormats)
        for (const auto& [M, N] : shapes)
            for (const auto& [gap, lead] : places)
                for (const double size : {1e-20, 1.0, 1e30}) {
                    SCOPED_TRACE(
                        fmt::format("{} x {}, gap {}, lead {}, size {}", M, N, gap, lead, size));
                    const Both x(M, N, gap, lead);
                    fill_normal(x.host(), seed++, size);
                    expect_same(x, format, true, true);
                }
}

// Every number that bf16 has, near enough to the format's own that none is lost.
TEST(CudaFp8, EveryNumberIsRoundedAsTheOracleDoes) {
    TNL_NEEDS_GPU();
    for (const Fp8Format format : kFormats)
        for (const bool finite : {true, false}) {
            const Both x(256, 256, 0, 0);
            for (int64_t i = 0; i < 65536; ++i) {
                bf16 value;
                value.bits = static_cast<uint16_t>(i);
                // 120 makes the shift 0 in e4m3, 600 in e5m2
                const double most = format == Fp8Format::e4m3 ? 120 : 600;
                const double v = static_cast<double>(static_cast<float>(value));
                if (finite && !(std::abs(v) <= most)) value = bf16(most);
                x.host().as<bf16>()[i] = value;
            }
            expect_same(x, format, true, true);
        }
}

TEST(CudaFp8, TheLargestFitsWhereverItLies) {
    TNL_NEEDS_GPU();
    for (const Fp8Format format : kFormats)
        for (const double others : {0.0, 1e-3, 1.0})
            for (const int64_t N : {3, 24})
                for (const int64_t row : {0, 1, 4992}) {
                    const Both x(5008, N, 0, 0);
                    fill_normal(x.host(), 3, others);
                    set_value(x.host(), row * N + 1, -9e4);
                    expect_same(x, format, true, true);
                }
}

TEST(CudaFp8, Products) {
    TNL_NEEDS_GPU();
    const int64_t shapes[][3] = {{16, 16, 16}, {130, 48, 272}, {7, 80, 1024}, {512, 1024, 4096}};
    uint64_t seed = 100;
    double worst[2] = {0, 0};
    for (const auto& [M, N, K] : shapes)
        for (const Fp8Format left : kFormats)
            for (const DType to : {DType::f32, DType::bf16})
                for (const float beta : {0.0f, 1.0f})
                    for (const bool fast : {true, false}) {
                        SCOPED_TRACE(fmt::format("{} x {} x {} to {}, beta {}, fast {}", M, N, K,
                                                 name_of(to), beta, fast));
                        if (K == 4096 && (beta == 0 || left == Fp8Format::e4m3)) continue;
                        const Both a(M, K, 0, 0), b(N, K, 0, 0);
                        fill_normal(a.host(), seed++, 3);
                        fill_normal(b.host(), seed++, 1e-3);
                        const Quantized x(cpu_oracle_kernels(), cpu(), a.host(), left);
                        const Quantized y(cpu_oracle_kernels(), cpu(), b.host(), Fp8Format::e4m3);
                        const Quantized p(*cuda_kernels(), *gpu(), a.device(), left);
                        const Quantized q(*cuda_kernels(), *gpu(), b.device(), Fp8Format::e4m3);
                        OwnedTensor c(cpu(), to, {M, N});
                        fill_normal(c, 5, beta == 0 ? double{NAN} : 0.02);
                        const auto multiply = [&, M = M, N = N] {
                            OwnedTensor d(*gpu(), to, {M, N}), out(cpu(), to, {M, N});
                            gpu()->upload(d.data, c.data, static_cast<size_t>(c.bytes()));
                            cuda_kernels()->fp8_gemm(gpu()->stream(), d, p.rows, q.rows, beta,
                                                     fast);
                            gpu()->download(out.data, d.data, static_cast<size_t>(d.bytes()));
                            return out;
                        };
                        const OwnedTensor got = multiply();
                        EXPECT_TRUE(identical(got, multiply()));
                        cpu_kernels().fp8_gemm(cpu().stream(), c, x.rows, y.rows, beta, false);
                        const double error = difference(got, c).relative();
                        // Hopper's own sums of such products have fewer digits than f32.
                        EXPECT_LT(error, to == DType::bf16 || fast ? 0x1p-7 : 0x1p-10);
                        if (to == DType::f32) worst[fast] = std::max(worst[fast], error);
                    }
    fmt::print("largest errors of f32 sums: {:.2e}, fast {:.2e}\n", worst[0], worst[1]);
}

} // namespace
} // namespace tnl::testing
