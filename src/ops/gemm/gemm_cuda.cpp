#include "ops/entries_cuda.h"
#include "ops/gemm/gemm.h"
#include "ops/gemm/lt_cuda.h"
#include "tensor/device_cuda.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>

namespace tnl::cuda {
namespace {

cudaDataType_t cuda_type(DType dtype) {
    switch (dtype) {
    case DType::f64:
        return CUDA_R_64F;
    case DType::f32:
        return CUDA_R_32F;
    case DType::bf16:
        return CUDA_R_16BF;
    default:
        fail("gemm: dtype {} is not supported here, wanted f64, f32 or bf16", name_of(dtype));
    }
}

int as_int(int64_t value, const char* what) {
    TNL_CHECK(value <= std::numeric_limits<int>::max(), "gemm: {} of {} is beyond cuBLAS", what,
              value);
    return static_cast<int>(value);
}

// A leading dimension must span a row even where there is but one row, whose stride is arbitrary.
int leading(const Tensor& x) {
    const int64_t stride = x.shape[0] > 1 ? x.stride[0] : x.shape[1];
    TNL_CHECK(stride >= x.shape[1], "gemm: rows of {} elements overlap at a stride of {}",
              x.shape[1], stride);
    return as_int(std::max<int64_t>(stride, 1), "stride");
}

// Below this an algorithm gains less than a launch takes, and cuBLAS has kernels of its own for
// vectors.
constexpr double kLargeFlops = 1e9;
constexpr int kCandidates = 32;

// Who chooses the algorithm of a large product. By default the first of cuBLASLt's proposals:
// a function of product, library and GPU, unlike what a search finds.
enum class Choice { cublas, first, searched };
Choice choice() { // TNL_GEMM_SEARCH: 0, unset, 1
    const char* word = std::getenv("TNL_GEMM_SEARCH");
    if (!word) return Choice::first;
    return std::string_view(word) == "0" ? Choice::cublas : Choice::searched;
}

// One for each kind of GPU that the process uses, for each way to choose.
GemmChoices& choices_of(const CudaStream& stream) {
    const bool searched = choice() == Choice::searched;
    static std::mutex mutex;
    static std::map<std::pair<int, bool>, GemmChoices*> of_device;
    static std::map<std::pair<std::string, bool>, std::unique_ptr<GemmChoices>> all;
    const std::lock_guard lock(mutex);
    GemmChoices*& choices = of_device[{stream.device, searched}];
    if (choices) return *choices;
    const std::string environment = lt_environment(stream, lt_limits(stream));
    std::unique_ptr<GemmChoices>& shared = all[{environment, searched}];
    if (!shared) {
        const auto file = searched ? algorithms_path(environment) : std::filesystem::path();
        shared = std::make_unique<GemmChoices>(file, environment);
    }
    choices = shared.get();
    return *choices;
}

bool is_capturing(const CudaStream& stream) {
    cudaStreamCaptureStatus status{};
    check_cuda(cudaStreamIsCapturing(stream.stream, &status), "cudaStreamIsCapturing");
    return status != cudaStreamCaptureStatusNone;
}

// None: cuBLAS chooses.
std::optional<GemmAlgorithm> algorithm_of(const CudaStream& stream, const LtProduct& product) {
    const LtLimits limits = lt_limits(stream);
    GemmChoices::Search search;
    if (choice() == Choice::first)
        search = [&]() -> std::optional<GemmAlgorithm> {
            const auto proposals = lt_candidates(stream, product.key, limits, 1);
            if (proposals.empty()) return std::nullopt;
            return proposals.front();
        };
    else if (!is_capturing(stream))
        search = [&] {
            return lt_fastest(stream, product, limits,
                              lt_candidates(stream, product.key, limits, kCandidates));
        };
    return choices_of(stream).find(
        product.key,
        [&](const GemmAlgorithm& a) { return lt_usable(stream, product.key, limits, a); }, search);
}

} // namespace

void gemm(Stream& s, Tensor c, Tensor a, Tensor b, bool transpose_a, bool transpose_b, float alpha,
          float beta) {
    const GemmShape shape = check_gemm(c, a, b, transpose_a, transpose_b, beta);
    CudaStream& stream = cuda_of(s);
    if (shape.M == 0 || shape.N == 0) return;
    if (shape.K == 0) {
        const auto width = static_cast<size_t>(size_of(c.dtype));
        if (beta == 0)
            check_cuda(cudaMemset2DAsync(c.data, static_cast<size_t>(leading(c)) * width, 0,
                                         static_cast<size_t>(shape.N) * width,
                                         static_cast<size_t>(shape.M), stream.stream),
                       "cudaMemset2DAsync");
        return;
    }
    LtProduct product{{transpose_a, transpose_b, shape.M, shape.N, shape.K, leading(a), leading(b),
                       leading(c), a.dtype, c.dtype, alpha != 1, beta != 0, alignment_of(a.data),
                       alignment_of(b.data), alignment_of(c.data)},
                      a.data,
                      b.data,
                      c.data,
                      alpha};
    if (s.same_shapes && product.key.flops() >= kLargeFlops && choice() != Choice::cublas)
        if (const std::optional<GemmAlgorithm> algorithm = algorithm_of(stream, product)) {
            check_cublas(lt_multiply(stream, product, lt_limits(stream), *algorithm),
                         "cublasLtMatmul");
            return;
        }
    // cuBLAS is column major: c^T = op(b)^T op(a)^T, and a row-major matrix is its transpose there.
    const double alpha64 = alpha, beta64 = beta;
    const bool wide = a.dtype == DType::f64;
    const void* alpha_ptr = wide ? static_cast<const void*>(&alpha64) : &alpha;
    const void* beta_ptr = wide ? static_cast<const void*>(&beta64) : &beta;
    check_cublas(cublasGemmEx(stream.blas, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                              transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, as_int(shape.N, "N"),
                              as_int(shape.M, "M"), as_int(shape.K, "K"), alpha_ptr, b.data,
                              cuda_type(b.dtype), leading(b), a.data, cuda_type(a.dtype),
                              leading(a), beta_ptr, c.data, cuda_type(c.dtype), leading(c),
                              wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                 "cublasGemmEx");
}

} // namespace tnl::cuda
