// What the processor can do at best, measured: the denominators of the benchmarks.
#pragma once

#include "tensor/arena.h"

#include <cstddef>

namespace tnl {

// Bytes per second at which all threads of a CPU device together read memory far larger than the
// caches: of a pass over one stream a thread, one over eight, and one over four that are asked for
// ahead of their use, the fastest.
class MemoryReader {
  public:
    explicit MemoryReader(Device& device, size_t bytes = size_t{1} << 30);
    double bandwidth();

  private:
    Buffer buffer_; // from the allocator that weights come from, so that pages are of the same size
    ThreadPool& pool_;
    int64_t lines_;
};

// The best of `repeats`.
double memory_read_bandwidth(Device& device, size_t bytes = size_t{1} << 30, int repeats = 5);

// Floating point operations per second of independent fp32 multiply-adds in registers, all threads
// of the pool, with the widest vectors this program uses on this processor (base/cpu.h). The best
// of `repeats` runs of about `seconds` each.
double fp32_peak(ThreadPool& pool, double seconds = 0.1, int repeats = 5);

// The same of products of bf16 pairs summed in fp32 (VDPBF16PS); 0 where the processor has none.
double bf16_peak(ThreadPool& pool, double seconds = 0.1, int repeats = 5);

// One thread's loop: `rounds` times kFmaChains multiply-adds of one vector; returns a value that
// depends on all of them.
constexpr int kFmaChains = 12;
float fma_rounds_baseline(long rounds); // vectors of 4, multiply and add
float fma_rounds_avx2(long rounds);     // vectors of 8
float fma_rounds_avx512(long rounds);   // vectors of 16
float dot_rounds_avx512(long rounds);   // vectors of 16 pairs of bf16

} // namespace tnl
