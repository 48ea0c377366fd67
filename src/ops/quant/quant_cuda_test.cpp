// Products with weights of 8 and 4 bits on the GPU, against the oracle.
#include "ops/cuda_testbed.h"
#include "ops/quant/quant.h"

#include <map>
#include <tuple>

namespace tnl::testing {
namespace {

// The same matrix on every device, made once.
const std::vector<uint8_t>& codes_of(QuantFormat format, int64_t N, int64_t K) {
    static std::map<std::tuple<QuantFormat, int64_t, int64_t>, std::vector<uint8_t>> made;
    const int64_t row_bytes = quant_row_bytes(format, K);
    std::vector<uint8_t>& bytes = made[{format, N, K}];
    if (!bytes.empty()) return bytes;
    bytes.resize(static_cast<size_t>(N * row_bytes));
    std::vector<float> row(static_cast<size_t>(K));
    for (int64_t n = 0; n < N; ++n) {
        for (int64_t k = 0; k < K; ++k)
            row[static_cast<size_t>(k)] =
                static_cast<float>(0.05 * Philox{3, 9}.normal(static_cast<uint64_t>(n * K + k)));
        quantize_row(format, bytes.data() + n * row_bytes, row.data(), K);
    }
    return bytes;
}
QuantMatrix quantized(Bed& bed, QuantFormat format, int64_t N, int64_t K) {
    const int64_t row_bytes = quant_row_bytes(format, K);
    const std::vector<uint8_t>& bytes = codes_of(format, N, K);
    const Tensor t = bed.bytes(bytes.size());
    bed.device.upload(t.data, bytes.data(), bytes.size());
    bed.device.synchronize();
    return {Tensor(t.data, DType::u8, {N, row_bytes}), K, format};
}

TEST(CudaQuant, Products) {
    TNL_NEEDS_GPU();
    constexpr int64_t kShapes[][2] = {{1, 1},     {7, 5},      {64, 64},   {130, 72},
                                      {96, 1024}, {333, 2816}, {34, 4104}, {2100, 136}};
    for (const QuantFormat format : {QuantFormat::int8, QuantFormat::int4})
        for (const int64_t M : {1, 2, 3, 40})
            for (const auto& [N, K] : kShapes)
                for (int flags = 0; flags < 4; ++flags)
                    for (const int64_t gap : {flags == 1 || flags == 2 ? 3 : 0}) {
                        const bool adds = flags & 1, to_acc = flags & 2;
                        compare(
                            [=, N = N, K = K](Bed& bed) {
                                const Tensor a = bed.input({M, K}, 1, gap);
                                const bool wide = to_acc && bed.dtype == DType::bf16;
                                Tensor c = wide ? bed.acc_input({M, N}) : bed.input({M, N}, 1, gap);
                                if (!adds)
                                    c = wide ? bed.acc_output({M, N}) : bed.output({M, N}, gap);
                                const Tensor workspace =
                                    bed.bytes(bed.kernels.quant_workspace(M, N, K, bed.dtype));
                                bed.kernels.quant_gemm(bed.stream(), c, a,
                                                       quantized(bed, format, N, K),
                                                       adds ? 1.0f : 0.0f, workspace);
                                bed.keep("c", c);
                            },
                            fmt::format("{} {}x{}x{} flags {} gap {}", name_of(format), M, N, K,
                                        flags, gap),
                            // Many rows are multiplied with weights rounded to bf16, too: twice
                            // 2^-8.
                            {.bf16_floor = 0x1p-7});
                    }
}

// The weights are widened in more than one piece.
TEST(CudaQuant, PiecesOfALargeMatrix) {
    TNL_NEEDS_GPU();
    compare(
        [](Bed& bed) {
            const int64_t M = 20, N = 70000, K = 264;
            const Tensor a = bed.input({M, K}), c = bed.acc_output({M, N});
            const Tensor workspace = bed.bytes(bed.kernels.quant_workspace(M, N, K, bed.dtype));
            bed.kernels.quant_gemm(bed.stream(), c, a, quantized(bed, QuantFormat::int4, N, K), 0,
                                   workspace);
            bed.keep("c", c.slice(1, N - 300, N));
            bed.keep("c, where pieces meet", c.slice(1, 63400, 63700));
        },
        "pieces", {.bf16_floor = 0x1p-7}, {DType::bf16});
}

} // namespace
} // namespace tnl::testing
