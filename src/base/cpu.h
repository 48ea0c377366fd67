// What the processor can do, read once.
#pragma once

#include <string>

namespace tnl {

struct CpuFeatures {
    std::string model;
    bool avx2 = false;        // with FMA and F16C
    bool avx512 = false;      // F, BW, VL, DQ
    bool avx512_bf16 = false; // VDPBF16PS, and VNNI
    std::string best_isa() const;
};

// The features in use. TNL_ISA=baseline|avx2|avx512|avx512_bf16 in the environment lowers them (for
// tests and comparisons); it never raises them.
const CpuFeatures& cpu_features();

} // namespace tnl
