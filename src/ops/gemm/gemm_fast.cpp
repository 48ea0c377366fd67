#include "base/cpu.h"
#include "ops/gemm/gemm.h"
#include "ops/gemm/gemv.h"

#include <algorithm>

namespace tnl {
namespace {

// Below this many multiplications per thread the wake-up costs more than it saves.
constexpr int64_t kWorkPerThread = 1 << 17;

template <class T, class C> void run_block(const GemmBlock<T, C>& block) {
    if constexpr (std::is_same_v<T, bf16>)
        if (cpu_features().avx512_bf16 && block.alpha == 1) return dnnl_gemm(block);
    blas_gemm(block);
}

template <class T, class C>
void run_grid(Stream& stream, const GemmShape& s, const GemmBlock<T, C>& whole) {
    const GemmGrid grid = plan_gemm_grid(s.M, s.N, s.K, stream.threads->size());
    const auto part = [&](int index) {
        const int64_t i = index / grid.columns, j = index % grid.columns;
        const int64_t m0 = s.M * i / grid.rows, m1 = s.M * (i + 1) / grid.rows;
        const int64_t n0 = s.N * j / grid.columns, n1 = s.N * (j + 1) / grid.columns;
        GemmBlock<T, C> block = whole;
        block.M = m1 - m0;
        block.N = n1 - n0;
        block.a += whole.transpose_a ? m0 : m0 * s.lda;
        block.b += whole.transpose_b ? n0 * s.ldb : n0;
        block.c += m0 * s.ldc + n0;
        if (block.M > 0 && block.N > 0) run_block(block);
    };
    const int parts = grid.rows * grid.columns;
    if (parts == 1) return part(0);
    stream.threads->run([&](int rank) {
        if (rank < parts) part(rank);
    });
}

} // namespace

// The grid with the least reading, (M / rows + N / columns) K per thread; rows win ties.
GemmGrid plan_gemm_grid(int64_t M, int64_t N, int64_t K, int threads) {
    const int64_t useful = std::max<int64_t>(1, M * N * K / kWorkPerThread);
    const int workers = static_cast<int>(std::min<int64_t>(threads, useful));
    GemmGrid best;
    double best_cost = -1;
    for (int columns = 1; columns <= workers; ++columns) {
        if (workers % columns != 0) continue;
        const int rows = workers / columns;
        if (rows > M || columns > N) continue;
        const double cost = static_cast<double>(M) / rows + static_cast<double>(N) / columns;
        if (best_cost < 0 || cost < best_cost) {
            best = {rows, columns};
            best_cost = cost;
        }
    }
    return best;
}

namespace fast {

void gemm(Stream& stream, Tensor c, Tensor a, Tensor b, bool transpose_a, bool transpose_b,
          float alpha, float beta) {
    const GemmShape s = check_gemm(c, a, b, transpose_a, transpose_b, beta);
    if (s.M == 0 || s.N == 0) return;
    if (s.K == 0) return oracle::gemm(stream, c, a, b, transpose_a, transpose_b, alpha, beta);
    dispatch_float(a.dtype, [&]<class T>() {
        const auto with = [&]<class C>(C* out) {
            const GemmBlock<T, C> whole{s.M,         s.N,   s.K,   a.as<T>(), b.as<T>(),
                                        out,         s.lda, s.ldb, s.ldc,     transpose_a,
                                        transpose_b, alpha, beta};
            if constexpr (!std::is_same_v<T, double>)
                if (fits_gemv(s.M, transpose_a, transpose_b)) return gemv(stream, whole);
            run_grid(stream, s, whole);
        };
        if (c.dtype == a.dtype)
            with(c.as<T>());
        else if constexpr (std::is_same_v<T, bf16>)
            with(c.as<float>());
    });
}

} // namespace fast
} // namespace tnl
