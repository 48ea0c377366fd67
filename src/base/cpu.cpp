#include "base/cpu.h"

#include "base/check.h"

#include <cstdlib>
#include <fstream>

namespace tnl {
namespace {

CpuFeatures read_features() {
    CpuFeatures f;
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);)
        if (line.starts_with("model name")) {
            f.model = line.substr(line.find(':') + 2);
            break;
        }
    f.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    f.avx512 = f.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    f.avx512_bf16 =
        f.avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
    const char* limit = std::getenv("TNL_ISA");
    const std::string isa = limit ? limit : "";
    if (isa.empty() || isa == "avx512_bf16") return f;
    f.avx512_bf16 = false;
    if (isa == "avx512") return f;
    f.avx512 = false;
    if (isa == "avx2") return f;
    f.avx2 = false;
    if (isa == "baseline") return f;
    throw UsageError(
        fmt::format("TNL_ISA is '{}', wanted baseline, avx2, avx512 or avx512_bf16", isa));
}

} // namespace

std::string CpuFeatures::best_isa() const {
    return avx512_bf16 ? "avx512_bf16" : avx512 ? "avx512" : avx2 ? "avx2" : "baseline";
}

const CpuFeatures& cpu_features() {
    static const CpuFeatures features = read_features();
    return features;
}

} // namespace tnl
