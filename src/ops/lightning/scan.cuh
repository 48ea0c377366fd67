// What the scan kernels have in common: which tokens a block walks, and in which direction.
#pragma once

#include "cuda/vec.cuh"
#include "ops/lightning/scan_cuda.h"

namespace tnl::cuda {

// The block's sequence and head. Position p = 0, 1, .. is counted in the order of the walk.
struct Walk {
    int64_t sequence, head, batch, first; // first: the token at position 0
    int64_t slot;                         // the sequence's state; negative: none
    int step, length;

    template <class T> __device__ explicit Walk(const ScanArguments<T>& p) {
        sequence = static_cast<int64_t>(blockIdx.x) / p.heads;
        head = static_cast<int64_t>(blockIdx.x) % p.heads;
        slot = p.slots ? p.slots[sequence] : sequence;
        int64_t begin = 0;
        batch = sequence;
        length = p.tokens;
        if (p.cu_seqlens) {
            batch = 0;
            begin = p.cu_seqlens[sequence];
            length = static_cast<int>(p.cu_seqlens[sequence + 1] - begin);
        }
        step = p.reverse ? -1 : 1;
        first = p.reverse ? begin + length - 1 : begin;
    }

    // The row at position p; the next one is stride(rows) elements further.
    template <class T> __device__ T* at(const ScanRows<T>& rows, int64_t p) const {
        return rows.data + batch * rows.batch + (first + step * p) * rows.token + head * rows.head;
    }
    template <class T> __device__ int64_t stride(const ScanRows<T>& rows) const {
        return step * rows.token;
    }
    template <class A> __device__ A* at(const ScanState<A>& state) const {
        return state.data && slot >= 0 ? state.data + slot * state.sequence + head * state.head
                                       : nullptr;
    }
};

// lambda^n = exp(-slope n), n = 0..count-1, good to the last place of A.
template <class A> __device__ void fill_powers(A* powers, A slope, int count) {
    for (int n = static_cast<int>(threadIdx.x); n < count; n += static_cast<int>(blockDim.x))
        powers[n] = static_cast<A>(exp(-static_cast<double>(slope) * n));
}

} // namespace tnl::cuda
