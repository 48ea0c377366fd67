// Products of 8 bits by cuBLASLt. Contract: ops/kernels.h.
#include "ops/entries_cuda.h"
#include "ops/gemm/algorithms.h"
#include "ops/gemm/lt_matrix_cuda.h"
#include "tensor/device_cuda.h"

#include <map>
#include <mutex>
#include <tuple>

namespace tnl::cuda {
namespace {

cudaDataType_t cuda_type(Fp8Format format) {
    return format == Fp8Format::e4m3 ? CUDA_R_8F_E4M3 : CUDA_R_8F_E5M2;
}

// c^T = b a^T in column major.
struct Product {
    cublasLtMatmulDescOpaque_t what{};
    cublasLtMatrixLayoutOpaque_t a, b, c;

    Product(const Tensor& c_, const Fp8Matrix& a_, const Fp8Matrix& b_, bool fast)
        : a(lt_layout(cuda_type(a_.format), a_.codes.shape[0], a_.codes.shape[1],
                      a_.codes.shape[1])),
          b(lt_layout(cuda_type(b_.format), b_.codes.shape[0], b_.codes.shape[1],
                      b_.codes.shape[1])),
          c(lt_layout(c_.dtype == DType::f32 ? CUDA_R_32F : CUDA_R_16BF, c_.shape[0], c_.shape[1],
                      c_.shape[0] > 1 ? c_.stride[0] : c_.shape[1])) {
        check_cublas(cublasLtMatmulDescInit(&what, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                     "cublasLtMatmulDescInit");
        set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
        set(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
        set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, static_cast<int8_t>(fast));
        set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, static_cast<const void*>(b_.scale.data));
        set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, static_cast<const void*>(a_.scale.data));
    }

  private:
    template <class T> void set(cublasLtMatmulDescAttributes_t attribute, T value) {
        check_cublas(cublasLtMatmulDescSetAttribute(&what, attribute, &value, sizeof value),
                     "cublasLtMatmulDescSetAttribute");
    }
};

// What the library thinks best, without sums by atomics.
cublasLtMatmulAlgo_t proposal(const CudaStream& stream, Product& p, const Tensor& c) {
    cublasLtMatmulPreferenceOpaque_t preference{};
    check_cublas(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
    lt_prefer(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
              static_cast<uint64_t>(CudaStream::kBlasWorkspace));
    lt_prefer(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
              static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    const auto align = static_cast<uint32_t>(alignment_of(c.data));
    lt_prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, align);
    lt_prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, align);
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        lt_handle(stream), &p.what, &p.b, &p.a, &p.c, &p.c, &preference, 1, &result, &found);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED)
        check_cublas(status, "cublasLtMatmulAlgoGetHeuristic");
    if (status != CUBLAS_STATUS_SUCCESS || found == 0 || result.state != CUBLAS_STATUS_SUCCESS)
        fail("cuBLASLt has no product of 8 bits for {} on {}: wanted a GPU of compute capability "
             "8.9 or above (train.products=fp8)",
             c.shape_string(), stream.props.name);
    return result.algo;
}

// The library is asked once for each kind of product.
const cublasLtMatmulAlgo_t& algorithm_of(const CudaStream& stream, Product& p, const Tensor& c,
                                         const Fp8Matrix& a, const Fp8Matrix& b, float beta,
                                         bool fast) {
    using Key = std::tuple<int, int64_t, int64_t, int64_t, int64_t, DType, Fp8Format, Fp8Format,
                           float, bool, int>;
    static std::mutex mutex;
    static std::map<Key, cublasLtMatmulAlgo_t> known;
    const Key key{
        stream.device, c.shape[0], c.shape[1], a.codes.shape[1],    c.stride[0], c.dtype, a.format,
        b.format,      beta,       fast,       alignment_of(c.data)};
    const std::lock_guard lock(mutex);
    const auto at = known.find(key);
    if (at != known.end()) return at->second;
    return known.emplace(key, proposal(stream, p, c)).first->second;
}

} // namespace

void fp8_gemm(Stream& s, Tensor c, Fp8Matrix a, Fp8Matrix b, float beta, bool fast) {
    check_fp8_gemm(c, a, b, beta);
    CudaStream& stream = cuda_of(s);
    if (c.size() == 0) return;
    TNL_CHECK(a.codes.shape[1] > 0, "fp8 product: sums of nothing");
    Product p(c, a, b, fast);
    const float one = 1;
    check_cublas(cublasLtMatmul(lt_handle(stream), &p.what, &one, b.codes.data, &p.b, a.codes.data,
                                &p.a, &beta, c.data, &p.c, c.data, &p.c,
                                &algorithm_of(stream, p, c, a, b, beta, fast),
                                stream.blas_workspace(), CudaStream::kBlasWorkspace, stream.stream),
                 "cublasLtMatmul, 8 bits");
}

} // namespace tnl::cuda
