// A table of kernels whose entries time those of another: where a run spends its time, by kernel,
// without a change to the code that is measured.
#pragma once

#include "ops/kernels.h"

#include <string>
#include <vector>

namespace tnl {

struct KernelTime {
    std::string name;
    double seconds = 0;
    int64_t calls = 0;
    double flops = 0; // gemm: 2 M N K of every call; 0 for the rest
    double bytes =
        0; // least traffic: what is read, once, and what is written; of small kernels only
};

// Every entry calls `real`'s and adds up its wall time; where `device` is given it waits for the
// device after each call, so that a GPU's work is counted too. There is one set of sums in a
// process, and calls must come from one thread at a time: a tool for benchmarks. `real` and
// `device` must outlive the table's use.
Kernels timed_kernels(const Kernels& real, Device* device = nullptr);

// The sums since the last reset, entries that were called, longest first.
std::vector<KernelTime> kernel_times();
void reset_kernel_times();

} // namespace tnl
