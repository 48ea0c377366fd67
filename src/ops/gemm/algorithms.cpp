#include "ops/gemm/algorithms.h"

#include "base/check.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <vector>

namespace tnl {
namespace {

constexpr std::string_view kTitle = "transnormer gemm algorithms 1";
constexpr std::string_view kSum = "checksum ";

std::string checksum(std::string_view text) {
    return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

// Splits at `separator`; an end without one is a part too.
std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    for (size_t at = 0; at <= text.size();) {
        const size_t end = std::min(text.find(separator, at), text.size());
        parts.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return parts;
}

template <class T> T number(std::string_view word, int base) {
    T value{};
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
    TNL_CHECK(error == std::errc() && end == word.data() + word.size(), "\"{}\" is no number",
              word);
    return value;
}

bool flag(std::string_view word, std::string_view no, std::string_view yes) {
    TNL_CHECK(word == no || word == yes, "\"{}\", wanted {} or {}", word, no, yes);
    return word == yes;
}

std::string format_entry(const GemmKey& k, const GemmAlgorithm& algorithm) {
    std::string line =
        fmt::format("{}{} {} {} {} {} {} {} {} {} {} {} {} {} {}", k.transpose_a ? 't' : 'n',
                    k.transpose_b ? 't' : 'n', k.M, k.N, k.K, k.lda, k.ldb, k.ldc, name_of(k.dtype),
                    name_of(k.c_dtype), k.scaled ? "alpha" : "1", k.adds ? "add" : "set", k.align_a,
                    k.align_b, k.align_c);
    for (const uint64_t word : algorithm) line += fmt::format(" {:016x}", word);
    return line + "\n";
}

constexpr size_t kKeyWords = 14;

std::pair<GemmKey, GemmAlgorithm> parse_entry(std::string_view line) {
    const std::vector<std::string_view> words = split(line, ' ');
    GemmAlgorithm algorithm{};
    TNL_CHECK(words.size() == kKeyWords + algorithm.size(), "{} words, wanted {}", words.size(),
              kKeyWords + algorithm.size());
    GemmKey k;
    TNL_CHECK(words[0].size() == 2, "\"{}\", wanted the transposes", words[0]);
    k.transpose_a = flag(words[0].substr(0, 1), "n", "t");
    k.transpose_b = flag(words[0].substr(1), "n", "t");
    int64_t* const sizes[] = {&k.M, &k.N, &k.K, &k.lda, &k.ldb, &k.ldc};
    for (size_t i = 0; i < 6; ++i) *sizes[i] = number<int64_t>(words[1 + i], 10);
    k.dtype = dtype_from_name(words[7]);
    k.c_dtype = dtype_from_name(words[8]);
    k.scaled = flag(words[9], "1", "alpha");
    k.adds = flag(words[10], "set", "add");
    int* const aligned[] = {&k.align_a, &k.align_b, &k.align_c};
    for (size_t i = 0; i < 3; ++i) *aligned[i] = number<int>(words[11 + i], 10);
    for (size_t i = 0; i < algorithm.size(); ++i)
        algorithm[i] = number<uint64_t>(words[kKeyWords + i], 16);
    return {k, algorithm};
}

} // namespace

double GemmKey::flops() const {
    return 2.0 * static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(K);
}

int alignment_of(const void* address) {
    const auto bits = reinterpret_cast<uintptr_t>(address) | 16;
    return static_cast<int>(bits & (~bits + 1));
}

std::string format_algorithms(const GemmAlgorithms& algorithms, const std::string& environment) {
    std::string text = fmt::format("{}\n{}\n", kTitle, environment);
    for (const auto& [key, algorithm] : algorithms) text += format_entry(key, algorithm);
    return text + fmt::format("{}{}\n", kSum, checksum(text));
}

GemmAlgorithms parse_algorithms(std::string_view text, const std::string& environment,
                                const std::string& name) {
    const size_t end = text.rfind(kSum);
    TNL_CHECK(end != text.npos &&
                  text.substr(end) == fmt::format("{}{}\n", kSum, checksum(text.substr(0, end))),
              "{}: the checksum does not fit the content", name);
    const std::vector<std::string_view> lines = split(text.substr(0, end), '\n');
    TNL_CHECK(lines[0] == kTitle, "{}: begins with \"{}\", wanted \"{}\"", name, lines[0], kTitle);
    TNL_CHECK(lines.size() > 2 && lines[1] == environment, "{}: is of \"{}\", wanted \"{}\"", name,
              lines.size() > 1 ? lines[1] : "", environment);
    GemmAlgorithms algorithms;
    for (size_t i = 2; i + 1 < lines.size(); ++i) try {
            algorithms.insert(parse_entry(lines[i]));
        } catch (const Error& error) {
            fail("{}: line {}: {}", name, i + 1, error.what());
        }
    return algorithms;
}

std::filesystem::path algorithms_path(const std::string& environment) {
    const char* cache = std::getenv("XDG_CACHE_HOME");
    const char* home = std::getenv("HOME");
    std::filesystem::path folder;
    if (cache && *cache)
        folder = cache;
    else if (home && *home)
        folder = std::filesystem::path(home) / ".cache";
    else
        return {};
    return folder / "transnormer" / fmt::format("gemm-{}.txt", checksum(environment));
}

} // namespace tnl
