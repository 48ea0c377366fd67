// A thread's part of the state in the sm_90 scan: how it is read, written and scaled.
#pragma once

#include "ops/lightning/scan_sm90_numbers.cuh"

namespace tnl::cuda {

// This thread's part of a state [K, N] that begins at `state`: element x lies at row key(x) and
// column column(x) from its first.
template <class A> struct StatePart {
    A* first;
    int64_t key_stride, column_stride;
    int keys, columns; // that exist from there on

    static __device__ int key(int x) { return x / 4 * 8 + x % 2; }
    static __device__ int column(int x) { return x % 4 / 2 * 8; }
    __device__ bool has(int x) const { return key(x) < keys && column(x) < columns; }
    __device__ A& at(int x) const { return first[key(x) * key_stride + column(x) * column_stride]; }
};
// All loads go out before the first is waited for.
template <class A, int kCount>
__device__ void add_part(float (&state)[kCount], const StatePart<A>& from, float weight) {
    constexpr int kBatch = 32;
#pragma unroll
    for (int begin = 0; begin < kCount; begin += kBatch) {
        float values[kBatch];
#pragma unroll
        for (int i = 0; i < kBatch; ++i)
            values[i] = from.has(begin + i) ? from.at(begin + i) : 0.0f;
#pragma unroll
        for (int i = 0; i < kBatch; ++i) state[begin + i] += weight * values[i];
    }
}
template <int kCount>
__device__ void write_part(const float (&state)[kCount], const StatePart<float>& to) {
#pragma unroll
    for (int x = 0; x < kCount; ++x)
        if (to.has(x)) to.at(x) = state[x];
}
// fp16 ends at 65504: rows of S^T beyond 2^14 are scaled down as operands, `undo` (rows g,
// g + 8) back.
template <class T, int kCount>
__device__ void scale_rows(const float (&state)[kCount], float (&scale)[2], float (&undo)[2]) {
    if constexpr (std::is_same_v<T, __half>) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float most = 0.0f;
#pragma unroll
            for (int x = 0; x < kCount; ++x)
                if (x % 4 / 2 == half) most = fmaxf(most, fabsf(state[x]));
            most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
            most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
            const int exponent = most > 16384.0f && most < INFINITY ? ilogbf(most) - 13 : 0;
            scale[half] = scalbnf(1.0f, -exponent);
            undo[half] = scalbnf(1.0f, exponent);
        }
    }
}
} // namespace tnl::cuda
