// The arguments of one scan (see plan.h) and its launchers.
#pragma once

#include "cuda/stream.h"
#include "ops/lightning/plan.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace tnl::cuda {

// [batch, token, head, width], unit last stride; strides in elements.
template <class T> struct ScanRows {
    T* data = nullptr;
    int64_t batch = 0, token = 0, head = 0;
};

// [sequence, head, K, N] or, for a transposed state, the same memory seen as [.., N, K]^T.
template <class A> struct ScanState {
    A* data = nullptr; // null where absent
    int64_t sequence = 0, head = 0, key = 0, column = 0;
};

template <class T> struct ScanArguments {
    using A = std::conditional_t<std::is_same_v<T, double>, double, float>;
    ScanRows<const T> a, b, c;
    ScanRows<T> out;
    const A* slopes = nullptr; // [heads]
    ScanState<const A> state_in;
    ScanState<A> state_out;              // may be state_in's memory
    const int32_t* cu_seqlens = nullptr; // device memory; null: every sequence has `tokens`
    const int32_t* slots = nullptr;      // device memory, optional: see LightningForward
    int tokens = 0, heads = 0, K = 0, N = 0;
    bool reverse = false; // from the last token to the first
    // The state that is read is the one before a token (0) or the one that the token's own decay
    // has not yet touched (1): S enters o_t as lambda S_(t-1), but dS enters dk_t, dv_t as it
    // stands, and is decayed with the token that is added to it.
    int shift = 0;
    A out_scale = 1;      // on the whole result
    A product_scale = 1;  // on every product of b with c: scores and what is added to the state
    bool packs = false;   // a, b, c may be read by 16 bytes
    bool settled = false; // states: see LightningForward::state_settled
    bool pairs = false;   // out may be written by two elements
};

void scan_tensor_cores(const CudaStream& stream, const ScanPlan& plan,
                       const ScanArguments<__nv_bfloat16>& arguments);
template <class T> // float, double, __half
void scan_plain(const CudaStream& stream, const ScanPlan& plan, const ScanArguments<T>& arguments);

// One token a sequence: state_out = lambda state_in + b^T c, out = out_scale a state_out. state
// columns have stride 1. packs: states and c may be moved by 16 bytes.
template <class T> // float, double, __nv_bfloat16, __half
void scan_decode(const CudaStream& stream, const ScanPlan& plan, const ScanArguments<T>& arguments);

} // namespace tnl::cuda
