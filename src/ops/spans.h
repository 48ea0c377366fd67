// Elementwise work over rows, split evenly over the threads.
#pragma once

#include "base/threads.h"
#include "ops/rows.h"

#include <algorithm>

namespace tnl {

// Elements a thread should get at least: less is not worth waking it.
constexpr int64_t kElementsPerThread = 8192;

// [N,H,D] whose heads lie side by side as [N,H*D].
template <class T> bool joinable(const Rows<T>& r) { return r.inner_stride == r.cols; }
template <class T> Rows<T> joined(Rows<T> r) {
    r.cols *= r.inner;
    r.count /= r.inner;
    r.inner = 1;
    return r;
}

// Calls f(pointers..., n) on stretches of adjacent elements that together cover all rows; `rows`
// are of equal shape.
template <class F, class First, class... Rest>
void for_spans(ThreadPool& threads, F&& f, Rows<First> first, Rows<Rest>... rest) {
    if (first.inner > 1 && (joinable(first) && ... && joinable(rest)))
        return for_spans(threads, f, joined(first), joined(rest)...);
    const int64_t cols = first.cols;
    threads.parallel_for(first.count * cols, kElementsPerThread, [&](int64_t begin, int64_t end) {
        while (begin < end) {
            const int64_t row = begin / cols, at = begin % cols;
            const int64_t n = std::min(cols - at, end - begin);
            f(first[row] + at, (rest[row] + at)..., n);
            begin += n;
        }
    });
}

// Rows of `cols` elements that a thread should get at least.
inline int64_t row_grain(int64_t cols) {
    return std::max<int64_t>(1, kElementsPerThread / std::max<int64_t>(1, cols));
}

// Column sums: add_row(part, row, begin, n) adds columns [begin, begin + n) of one row to part[n].
// Each thread has its own columns, and sums blocks of rows, so that the result depends on neither
// the number of threads nor, much, on the number of rows. kSums sums are made side by side, part
// being [kSums][kColumnChunk], and are added to outs (null: not wanted).
constexpr int64_t kColumnChunk = 256;
template <int kSums, class F>
void column_sums(ThreadPool& threads, std::array<float*, kSums> outs, int64_t rows, int64_t cols,
                 F&& add_row) {
    constexpr int64_t kRowBlock = 64;
    const int64_t grain = std::max<int64_t>(16, kElementsPerThread / std::max<int64_t>(1, rows));
    threads.parallel_for(cols, grain, [&](int64_t first, int64_t last) {
        for (int64_t c = first; c < last; c += kColumnChunk) {
            const int64_t n = std::min(kColumnChunk, last - c);
            for (int64_t block = 0; block < rows; block += kRowBlock) {
                float part[kSums * kColumnChunk] = {};
                const int64_t end = std::min(rows, block + kRowBlock);
                for (int64_t row = block; row < end; ++row) add_row(part, row, c, n);
                for (size_t s = 0; s < kSums; ++s)
                    for (int64_t i = 0; outs[s] && i < n; ++i)
                        outs[s][c + i] += part[static_cast<int64_t>(s) * kColumnChunk + i];
            }
        }
    });
}

} // namespace tnl
