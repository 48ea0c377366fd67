// Which of cuBLASLt's algorithms multiplies what. A search times them once; its choice is kept in a
// file, so that later runs repeat the results bit for bit. Nothing here needs a GPU.
#pragma once

#include "tensor/dtype.h"

#include <array>
#include <compare>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace tnl {

// What a choice depends on, beside the GPU and the library.
struct GemmKey {
    bool transpose_a = false, transpose_b = false;
    int64_t M = 0, N = 0, K = 0;
    int64_t lda = 0, ldb = 0, ldc = 0;
    DType dtype = DType::bf16, c_dtype = DType::bf16; // of a and b; of c
    bool scaled = false, adds = false;                // alpha is not 1; beta is 1
    int align_a = 16, align_b = 16, align_c = 16;     // of the first elements, in bytes
    friend auto operator<=>(const GemmKey&, const GemmKey&) = default;

    double flops() const;
};
// The largest power of two that divides the address, at most 16: no kernel asks for more.
int alignment_of(const void* address);

// cublasLtMatmulAlgo_t as the library wrote it: to be given back to the same version of it.
using GemmAlgorithm = std::array<uint64_t, 8>;
using GemmAlgorithms = std::map<GemmKey, GemmAlgorithm>;

// A file of them. `environment`, one line, names GPU, library and limits they were found with.
std::string format_algorithms(const GemmAlgorithms& algorithms, const std::string& environment);
// Throws Error naming `name` and what is wrong: another environment, a line, the checksum.
GemmAlgorithms parse_algorithms(std::string_view text, const std::string& environment,
                                const std::string& name);
// $XDG_CACHE_HOME/transnormer or ~/.cache/transnormer, a file for each environment; empty where
// there is neither.
std::filesystem::path algorithms_path(const std::string& environment);

// The choices of one process, shared by its threads, and their file, shared by processes: while one
// searches, the others wait, and then use what it found. A file that cannot be read or written
// costs a warning, and searches.
class GemmChoices {
  public:
    // An empty path: kept in memory only.
    GemmChoices(std::filesystem::path file, std::string environment);

    using Usable = std::function<bool(const GemmAlgorithm&)>;
    using Search = std::function<std::optional<GemmAlgorithm>()>;
    // The same answer for as long as the process lives: the file's, if the library finds it usable,
    // else the search's, which goes into the file. None, or no search given: the library chooses.
    std::optional<GemmAlgorithm> find(const GemmKey& key, const Usable& usable,
                                      const Search& search);

  private:
    std::optional<GemmAlgorithm> look_up(const GemmKey& key, const Usable& usable);
    void read();
    void write();
    void warn(const std::string& what);

    std::mutex mutex_;
    std::filesystem::path file_;
    const std::string environment_;
    std::map<GemmKey, std::optional<GemmAlgorithm>> answers_;
    GemmAlgorithms filed_;
    bool warned_ = false;
};

} // namespace tnl
