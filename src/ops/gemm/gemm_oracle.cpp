#include "ops/gemm/gemm.h"
#include "ops/rows.h"

#include <vector>

namespace tnl {

GemmShape check_gemm(const Tensor& c, const Tensor& a, const Tensor& b, bool transpose_a,
                     bool transpose_b, float beta) {
    const auto [M, N] = c.dims<2>("gemm: c");
    const auto [a0, a1] = a.dims<2>("gemm: a");
    const auto [b0, b1] = b.dims<2>("gemm: b");
    const int64_t K = transpose_a ? a0 : a1;
    TNL_CHECK((transpose_a ? a1 : a0) == M, "gemm: a{} has shape {}, wanted {} rows of the product",
              transpose_a ? "^T" : "", a.shape_string(), M);
    TNL_CHECK((transpose_b ? b1 : b0) == K && (transpose_b ? b0 : b1) == N,
              "gemm: op(b) of b {}{} does not fit c {} and K = {}", b.shape_string(),
              transpose_b ? "^T" : "", c.shape_string(), K);
    TNL_CHECK(a.dtype == b.dtype, "gemm: a is {}, b is {}", name_of(a.dtype), name_of(b.dtype));
    TNL_CHECK(c.dtype == a.dtype || c.dtype == accumulator_dtype(a.dtype),
              "gemm: c is {}, wanted {} or {}", name_of(c.dtype), name_of(a.dtype),
              name_of(accumulator_dtype(a.dtype)));
    TNL_CHECK(beta == 0 || beta == 1, "gemm: beta is {}, wanted 0 or 1", beta);
    const std::pair<const Tensor*, const char*> all[] = {{&c, "c"}, {&a, "a"}, {&b, "b"}};
    for (const auto& [t, what] : all)
        TNL_CHECK(t->stride[1] == 1 || t->shape[1] <= 1,
                  "gemm: {} of shape {} has stride {} in its last dimension, wanted 1", what,
                  t->shape_string(), t->stride[1]);
    return {M, N, K, a.stride[0], b.stride[0], c.stride[0]};
}

namespace oracle {

void gemm(Stream&, Tensor c_, Tensor a_, Tensor b_, bool transpose_a, bool transpose_b, float alpha,
          float beta) {
    const GemmShape s = check_gemm(c_, a_, b_, transpose_a, transpose_b, beta);
    dispatch_float(a_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const T *a = a_.as<T>(), *b = b_.as<T>();
        std::vector<A> row(static_cast<size_t>(s.N));
        for (int64_t m = 0; m < s.M; ++m) {
            std::fill(row.begin(), row.end(), A(0));
            for (int64_t k = 0; k < s.K; ++k) {
                const A factor = a[transpose_a ? k * s.lda + m : m * s.lda + k];
                for (int64_t n = 0; n < s.N; ++n)
                    row[static_cast<size_t>(n)] +=
                        factor * A(b[transpose_b ? n * s.ldb + k : k * s.ldb + n]);
            }
            const auto store = [&]<class C>(C* c) {
                for (int64_t n = 0; n < s.N; ++n) {
                    const A value = static_cast<A>(alpha) * row[static_cast<size_t>(n)];
                    c[n] = C(beta == 0 ? value : value + A(c[n]));
                }
            };
            if (c_.dtype == a_.dtype)
                store(c_.as<T>() + m * s.ldc);
            else
                store(c_.as<A>() + m * s.ldc);
        }
    });
}

} // namespace oracle
} // namespace tnl
