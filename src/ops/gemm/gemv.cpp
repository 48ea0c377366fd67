#include "ops/gemm/gemv.h"

#include "ops/simd/simd.h"

#include <algorithm>
#include <vector>

namespace tnl {
namespace {

// A thread should read at least this much of b.
constexpr int64_t kBytesPerThread = 1 << 15;

// Products between two visits of c. Many rows of b at once, as the loops read several runs of them
// side by side.
constexpr int64_t kProductsAtOnce = 512;

// dots(sums, their leading dimension, first row, rows): products of all rows of a with some of b.
template <class T, class C, class F>
void over_rows(Stream& stream, const GemmBlock<T, C>& g, F&& dots) {
    const int64_t row_bytes = std::max<int64_t>(1, g.K * static_cast<int64_t>(sizeof(T)));
    const int64_t grain = std::max<int64_t>(1, kBytesPerThread / row_bytes);
    stream.threads->parallel_for(g.N, grain, [&](int64_t begin, int64_t end) {
        float sums[kProductsAtOnce];
        const int64_t at_once = kProductsAtOnce / g.M;
        for (int64_t n = begin; n < end; n += at_once) {
            const int64_t rows = std::min(at_once, end - n);
            dots(sums, at_once, n, rows);
            for (int64_t m = 0; m < g.M; ++m)
                for (int64_t r = 0; r < rows; ++r) {
                    C& out = g.c[m * g.ldc + n + r];
                    const float value = g.alpha * sums[m * at_once + r];
                    out = C(g.beta == 0 ? value : value + static_cast<float>(out));
                }
        }
    });
}

} // namespace

template <class T, class C> void gemv(Stream& stream, const GemmBlock<T, C>& g) {
    if constexpr (std::is_same_v<T, bf16>)
        if (const auto dot = simd().dot_bf16)
            return over_rows(stream, g, [&](float* sums, int64_t ld, int64_t n, int64_t rows) {
                dot(sums, ld, g.a, g.lda, g.M, g.b + n * g.ldb, g.ldb, rows, g.K);
            });
    // a as f32, read from the first level cache for every row of b.
    thread_local std::vector<float> wide;
    const float* a = nullptr;
    int64_t lda = g.lda;
    if constexpr (std::is_same_v<T, float>) {
        a = g.a;
    } else {
        wide.resize(static_cast<size_t>(g.M * g.K));
        for (int64_t m = 0; m < g.M; ++m) simd().widen(wide.data() + m * g.K, g.a + m * g.lda, g.K);
        a = wide.data();
        lda = g.K;
    }
    over_rows(stream, g, [&](float* sums, int64_t ld, int64_t n, int64_t rows) {
        loops<T>().dot_rows(sums, ld, a, lda, g.M, g.b + n * g.ldb, g.ldb, rows, g.K);
    });
}

template void gemv(Stream&, const GemmBlock<float, float>&);
template void gemv(Stream&, const GemmBlock<bf16, float>&);
template void gemv(Stream&, const GemmBlock<bf16, bf16>&);

} // namespace tnl
