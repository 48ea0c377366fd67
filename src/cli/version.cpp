#include "cli/version.h"

#include "base/cpu.h"
#include "version_data.h" // written by cmake/version.cmake at every build

#include <CLI/Version.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <oneapi/dnnl/dnnl.hpp>
#include <toml++/toml.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

namespace tnl {

std::string project_version() { return kVersion; }
std::string project_commit() { return kCommit; }

static std::string libraries() {
    const dnnl_version_t* dnnl = dnnl::version();
    return fmt::format(
        "oneDNN {}.{}.{}, SentencePiece {}, fmt {}.{}.{}, nlohmann-json {}.{}.{}, CLI11 {}, "
        "toml++ {}.{}.{}, zstd {}, zlib {}, xxHash {}.{}.{}",
        dnnl->major, dnnl->minor, dnnl->patch, kSentencePieceVersion, FMT_VERSION / 10000,
        FMT_VERSION / 100 % 100, FMT_VERSION % 100, NLOHMANN_JSON_VERSION_MAJOR,
        NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH, CLI11_VERSION, TOML_LIB_MAJOR,
        TOML_LIB_MINOR, TOML_LIB_PATCH, ZSTD_versionString(), zlibVersion(),
        XXH_versionNumber() / 10000, XXH_versionNumber() / 100 % 100, XXH_versionNumber() % 100);
}

std::string version_text() {
    const CpuFeatures& cpu = cpu_features();
    return fmt::format("transnormer {} ({})\n"
                       "build:     {}, {}\n"
                       "cuda:      {}\n"
                       "processor: {}, using {}\n"
                       "libraries: {}",
                       kVersion, kCommit, kBuildType, kCompiler, kCuda, cpu.model, cpu.best_isa(),
                       libraries());
}

} // namespace tnl
