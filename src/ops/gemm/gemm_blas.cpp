#include "ops/gemm/gemm.h"
#include "ops/simd/simd.h"

#include <cblas.h>

#include <algorithm>
#include <vector>

namespace tnl {
namespace {

// OpenBLAS would start threads of its own under ours.
void single_threaded() {
    static const bool once = [] {
        openblas_set_num_threads(1);
        return true;
    }();
    (void)once;
}

CBLAS_TRANSPOSE flag(bool transpose) { return transpose ? CblasTrans : CblasNoTrans; }
blasint narrow(int64_t n) {
    TNL_CHECK(n <= INT32_MAX, "gemm: dimension {} exceeds the BLAS's 32 bits", n);
    return static_cast<blasint>(n);
}

// Rows of a bf16 matrix as f32, tightly packed.
void widen(float* out, const bf16* in, int64_t ld, int64_t rows, int64_t cols) {
    for (int64_t r = 0; r < rows; ++r) simd().widen(out + r * cols, in + r * ld, cols);
}

// Panels of a block that stay in the second and third level caches as f32.
constexpr int64_t kPanelM = 512, kPanelN = 1024, kPanelK = 512;

template <class C> void through_f32(const GemmBlock<bf16, C>& g) {
    thread_local std::vector<float> a(kPanelM * kPanelK), b(kPanelN * kPanelK);
    thread_local std::vector<float> c(std::is_same_v<C, bf16> ? kPanelM * kPanelN : 0);
    for (int64_t n = 0; n < g.N; n += kPanelN)
        for (int64_t m = 0; m < g.M; m += kPanelM) {
            const int64_t cols = std::min(kPanelN, g.N - n), rows = std::min(kPanelM, g.M - m);
            C* out = g.c + m * g.ldc + n;
            float* sum;
            int64_t ld = cols;
            if constexpr (std::is_same_v<C, float>) {
                sum = out;
                ld = g.ldc;
            } else {
                sum = c.data();
                if (g.beta != 0) widen(sum, out, g.ldc, rows, cols);
            }
            for (int64_t k = 0; k < g.K; k += kPanelK) {
                const int64_t depth = std::min(kPanelK, g.K - k);
                if (g.transpose_a)
                    widen(a.data(), g.a + k * g.lda + m, g.lda, depth, rows);
                else
                    widen(a.data(), g.a + m * g.lda + k, g.lda, rows, depth);
                if (g.transpose_b)
                    widen(b.data(), g.b + n * g.ldb + k, g.ldb, cols, depth);
                else
                    widen(b.data(), g.b + k * g.ldb + n, g.ldb, depth, cols);
                blas_gemm(GemmBlock<float, float>{rows, cols, depth, a.data(), b.data(), sum,
                                                  g.transpose_a ? rows : depth,
                                                  g.transpose_b ? depth : cols, ld, g.transpose_a,
                                                  g.transpose_b, g.alpha, k == 0 ? g.beta : 1.0f});
            }
            if constexpr (std::is_same_v<C, bf16>)
                for (int64_t r = 0; r < rows; ++r)
                    simd().narrow(out + r * g.ldc, sum + r * ld, cols);
        }
}

} // namespace

void blas_gemm(const GemmBlock<float, float>& g) {
    single_threaded();
    cblas_sgemm(CblasRowMajor, flag(g.transpose_a), flag(g.transpose_b), narrow(g.M), narrow(g.N),
                narrow(g.K), g.alpha, g.a, narrow(g.lda), g.b, narrow(g.ldb), g.beta, g.c,
                narrow(g.ldc));
}

void blas_gemm(const GemmBlock<double, double>& g) {
    single_threaded();
    cblas_dgemm(CblasRowMajor, flag(g.transpose_a), flag(g.transpose_b), narrow(g.M), narrow(g.N),
                narrow(g.K), static_cast<double>(g.alpha), g.a, narrow(g.lda), g.b, narrow(g.ldb),
                static_cast<double>(g.beta), g.c, narrow(g.ldc));
}

void blas_gemm(const GemmBlock<bf16, float>& g) { through_f32(g); }
void blas_gemm(const GemmBlock<bf16, bf16>& g) { through_f32(g); }

} // namespace tnl
