#include "ops/gemm/lt_cuda.h"

#include "ops/gemm/lt_matrix_cuda.h"

#include <cstring>

namespace tnl::cuda {
namespace {

static_assert(sizeof(GemmAlgorithm) == sizeof(cublasLtMatmulAlgo_t));

cudaDataType_t cuda_type(DType dtype) {
    return dtype == DType::f64 ? CUDA_R_64F : dtype == DType::f32 ? CUDA_R_32F : CUDA_R_16BF;
}

cublasLtMatmulAlgo_t unpacked(const GemmAlgorithm& algorithm) {
    cublasLtMatmulAlgo_t out;
    std::memcpy(&out, &algorithm, sizeof out);
    return out;
}

// cuBLAS is column major: c^T = op(b)^T op(a)^T, and a row-major matrix is its transpose there.
struct Description {
    cublasLtMatmulDescOpaque_t product{};
    cublasLtMatrixLayoutOpaque_t a, b, c;

    explicit Description(const GemmKey& k)
        : a(lt_layout(cuda_type(k.dtype), k.transpose_a ? k.K : k.M, k.transpose_a ? k.M : k.K,
                      k.lda)),
          b(lt_layout(cuda_type(k.dtype), k.transpose_b ? k.N : k.K, k.transpose_b ? k.K : k.N,
                      k.ldb)),
          c(lt_layout(cuda_type(k.c_dtype), k.M, k.N, k.ldc)) {
        const bool wide = k.dtype == DType::f64;
        check_cublas(cublasLtMatmulDescInit(&product,
                                            wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                                            wide ? CUDA_R_64F : CUDA_R_32F),
                     "cublasLtMatmulDescInit");
        set(CUBLASLT_MATMUL_DESC_TRANSA, k.transpose_b);
        set(CUBLASLT_MATMUL_DESC_TRANSB, k.transpose_a);
    }

  private:
    void set(cublasLtMatmulDescAttributes_t what, bool transpose) {
        const cublasOperation_t op = transpose ? CUBLAS_OP_T : CUBLAS_OP_N;
        check_cublas(cublasLtMatmulDescSetAttribute(&product, what, &op, sizeof op),
                     "cublasLtMatmulDescSetAttribute");
    }
};

} // namespace

LtLimits lt_limits(const CudaStream& stream) {
    return {stream.blas_workspace(), CudaStream::kBlasWorkspace, false};
}

std::string lt_environment(const CudaStream& stream, const LtLimits& limits) {
    int driver = 0;
    check_cuda(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
    return fmt::format("{}, {} SMs; cuBLASLt {}; driver {}; workspace {}", stream.props.name,
                       stream.props.multiProcessorCount, cublasLtGetVersion(), driver,
                       limits.workspace_bytes);
}

std::vector<GemmAlgorithm> lt_candidates(const CudaStream& stream, const GemmKey& key,
                                         const LtLimits& limits, int most) {
    Description d(key);
    cublasLtMatmulPreferenceOpaque_t preference{};
    check_cublas(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
    lt_prefer(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
              static_cast<uint64_t>(limits.workspace_bytes));
    uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    if (limits.narrow_reduction) reductions |= CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
    lt_prefer(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reductions);
    const auto align = [&](cublasLtMatmulPreferenceAttributes_t what, int bytes) {
        lt_prefer(preference, what, static_cast<uint32_t>(bytes));
    };
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.align_b);
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.align_a);
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.align_c);
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.align_c);
    std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<size_t>(most));
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(lt_handle(stream), &d.product, &d.b, &d.a, &d.c, &d.c,
                                       &preference, most, results.data(), &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return {};
    check_cublas(status, "cublasLtMatmulAlgoGetHeuristic");
    std::vector<GemmAlgorithm> out;
    for (int i = 0; i < found; ++i) {
        const cublasLtMatmulHeuristicResult_t& result = results[static_cast<size_t>(i)];
        if (result.state != CUBLAS_STATUS_SUCCESS) continue;
        std::memcpy(&out.emplace_back(), &result.algo, sizeof result.algo);
    }
    return out;
}

bool lt_usable(const CudaStream& stream, const GemmKey& key, const LtLimits& limits,
               const GemmAlgorithm& algorithm) {
    Description d(key);
    const cublasLtMatmulAlgo_t algo = unpacked(algorithm);
    cublasLtMatmulHeuristicResult_t result{};
    return cublasLtMatmulAlgoCheck(lt_handle(stream), &d.product, &d.b, &d.a, &d.c, &d.c, &algo,
                                   &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= limits.workspace_bytes;
}

cublasStatus_t lt_multiply(const CudaStream& stream, const LtProduct& p, const LtLimits& limits,
                           const GemmAlgorithm& algorithm) {
    Description d(p.key);
    const cublasLtMatmulAlgo_t algo = unpacked(algorithm);
    const double alpha64 = p.alpha, beta64 = p.key.adds ? 1 : 0;
    const auto alpha = static_cast<float>(alpha64), beta = static_cast<float>(beta64);
    const bool wide = p.key.dtype == DType::f64;
    return cublasLtMatmul(lt_handle(stream), &d.product,
                          wide ? static_cast<const void*>(&alpha64) : &alpha, p.b, &d.b, p.a, &d.a,
                          wide ? static_cast<const void*>(&beta64) : &beta, p.c, &d.c, p.c, &d.c,
                          &algo, limits.workspace, limits.workspace_bytes, stream.stream);
}

} // namespace tnl::cuda
