// Sums over the rows of a matrix of values f(row, column), in an order fixed by the shape: groups
// of rows are summed side by side into scratch, then the groups in order onto `out`.
#pragma once

#include "cuda/launch.h"
#include "cuda/vec.cuh"

#include <algorithm>

namespace tnl {

constexpr int kColumnThreads = 32, kRowThreads = 8;

// f is called once for every (row, column). partial null: the sums are not wanted.
template <class A, class F>
__global__ void __launch_bounds__(kColumnThreads* kRowThreads)
    column_partials(A* partial, int64_t rows, int64_t cols, int64_t group, F f) {
    __shared__ A parts[kRowThreads][kColumnThreads + 1];
    const int64_t c = int64_t{blockIdx.x} * kColumnThreads + threadIdx.x;
    const int64_t begin = int64_t{blockIdx.y} * group;
    const int64_t end = begin + group < rows ? begin + group : rows;
    A sum = 0;
    if (c < cols)
        for (int64_t r = begin + threadIdx.y; r < end; r += kRowThreads) sum += f(r, c);
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || c >= cols || !partial) return;
    for (int y = 1; y < kRowThreads; ++y) sum += parts[y][threadIdx.x];
    partial[int64_t{blockIdx.y} * cols + c] = sum;
}

template <class A>
__global__ void __launch_bounds__(256)
    add_column_partials(A* out, const A* partial, int64_t groups, int64_t cols) {
    const int64_t c = int64_t{blockIdx.x} * 256 + threadIdx.x;
    if (c >= cols) return;
    A sum = 0;
    for (int64_t g = 0; g < groups; ++g) sum += partial[g * cols + c];
    out[c] += sum;
}

// out[c] += sum over rows of f(row, c); out null: f is only called.
template <class A, class F>
void add_column_sums(CudaStream& stream, A* out, int64_t rows, int64_t cols, F f) {
    if (rows == 0 || cols == 0) return;
    constexpr int64_t kGroups = 128;
    const int64_t group = std::max<int64_t>(64, (rows + kGroups - 1) / kGroups);
    const int64_t groups = (rows + group - 1) / group;
    A* partial = nullptr;
    if (out)
        partial = static_cast<A*>(stream.scratch(static_cast<size_t>(groups * cols) * sizeof(A)));
    launch(stream, column_partials<A, F>,
           dim3(blocks_for(cols, kColumnThreads), static_cast<unsigned>(groups)),
           dim3(kColumnThreads, kRowThreads), 0, partial, rows, cols, group, f);
    if (out)
        launch(stream, add_column_partials<A>, dim3(blocks_for(cols, 256)), dim3(256), 0, out,
               partial, groups, cols);
}

} // namespace tnl
