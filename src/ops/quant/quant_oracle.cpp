#include "ops/quant/quant_cpu.h"

#include <vector>

namespace tnl::oracle {

// Weights as their real numbers, all sums in acc.
void quant_gemm(Stream&, Tensor c, Tensor a, QuantMatrix b, float beta, Tensor) {
    const QuantShape s = check_quant_gemm(c, a, b, beta);
    dispatch_float(a.dtype, [&]<class T>() {
        using Acc = Accumulator<T>;
        const auto with = [&]<class C>(C* out) {
            std::vector<Acc> row(static_cast<size_t>(s.K));
            const int64_t row_bytes = b.bytes.shape[1];
            for (int64_t n = 0; n < s.N; ++n) {
                dequantize_row(b.format, row.data(), b.bytes.as<uint8_t>() + n * row_bytes, s.K);
                for (int64_t m = 0; m < s.M; ++m) {
                    const T* x = a.as<T>() + m * a.stride[0];
                    Acc sum = 0;
                    for (int64_t k = 0; k < s.K; ++k)
                        sum += static_cast<Acc>(x[k]) * row[static_cast<size_t>(k)];
                    C& to = out[m * c.stride[0] + n];
                    to = C(beta == 0 ? sum : sum + static_cast<Acc>(to));
                }
            }
        };
        if (c.dtype == a.dtype)
            with(c.as<T>());
        else if constexpr (std::is_same_v<T, bf16>)
            with(c.as<float>());
    });
}

} // namespace tnl::oracle
