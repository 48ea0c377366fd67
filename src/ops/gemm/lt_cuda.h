// cuBLASLt: the algorithms it offers for a product, one of them run, the fastest of them found.
#pragma once

#include "cuda/stream.h"
#include "ops/gemm/algorithms.h"

#include <optional>
#include <string>
#include <vector>

namespace tnl::cuda {

// c = alpha op(a) op(b) + beta c, as the key says; row major.
struct LtProduct {
    GemmKey key;
    const void* a = nullptr;
    const void* b = nullptr;
    void* c = nullptr;
    double alpha = 1;
};

// What an algorithm may use.
struct LtLimits {
    void* workspace = nullptr;
    size_t workspace_bytes = 0;
    // Sums of slices of K: in the accumulator's dtype, or also in c's. Never in place, by atomics:
    // their order is not fixed.
    bool narrow_reduction = false;
};
LtLimits lt_limits(const CudaStream& stream); // the stream's workspace

// GPU, library and limits, in one line.
std::string lt_environment(const CudaStream& stream, const LtLimits& limits);

// The library's proposals, what it thinks best first; none where it has no kernel.
std::vector<GemmAlgorithm> lt_candidates(const CudaStream& stream, const GemmKey& key,
                                         const LtLimits& limits, int most);
bool lt_usable(const CudaStream& stream, const GemmKey& key, const LtLimits& limits,
               const GemmAlgorithm& algorithm);
cublasStatus_t lt_multiply(const CudaStream& stream, const LtProduct& product,
                           const LtLimits& limits, const GemmAlgorithm& algorithm);

// Times the candidates on a and b as they are, and returns the fastest whose results repeat bit for
// bit; of several as fast, the one that the library thinks better. Waits for the stream. c is left
// as it was where the product adds to it, else undefined. None: no candidate, or no memory.
std::optional<GemmAlgorithm> lt_fastest(const CudaStream& stream, const LtProduct& product,
                                        const LtLimits& limits,
                                        const std::vector<GemmAlgorithm>& candidates);

// A number that two matrices of `rows` rows of `bytes` bytes, `stride` bytes apart, share only if
// they are equal bit for bit, or by an improbable chance. Waits for the stream; memory: 8 bytes.
uint64_t fingerprint(const CudaStream& stream, const void* matrix, int64_t rows, int64_t bytes,
                     int64_t stride, void* memory);

} // namespace tnl::cuda
