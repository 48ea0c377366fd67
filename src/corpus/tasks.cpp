#include "corpus/tasks.h"

#include "base/check.h"
#include "text/reader.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <map>
#include <set>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

using Environment = std::function<const char*(const char*)>;

std::optional<int> number(const Environment& environment, const char* name) {
    const char* value = environment(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    const std::string_view text = value;
    int out = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (error != std::errc{} || end != text.data() + text.size() || out < 0)
        throw UsageError(fmt::format("{} is \"{}\", wanted a whole number from 0 on", name, text));
    return out;
}

// The size of a Slurm array whose tasks count from 0 on.
std::optional<int> slurm_world(const Environment& environment) {
    const auto least = number(environment, "SLURM_ARRAY_TASK_MIN");
    const auto most = number(environment, "SLURM_ARRAY_TASK_MAX");
    const auto count = number(environment, "SLURM_ARRAY_TASK_COUNT");
    if (count && least == 0 && most == *count - 1) return count;
    return std::nullopt;
}

// A name without the endings that tell its format.
std::string without_formats(std::string name) {
    static const std::set<std::string> kFormats = {".gz",   ".zst", ".jsonl", ".ndjson", ".json",
                                                   ".warc", ".wet", ".txt",   ".parquet"};
    for (;;) {
        const size_t dot = name.rfind('.');
        if (dot == std::string::npos || dot == 0 || !kFormats.contains(name.substr(dot)))
            return name;
        name.resize(dot);
    }
}

fs::path common_directory(const std::vector<fs::path>& files) {
    fs::path common = files.front().parent_path();
    for (const fs::path& file : files) {
        const fs::path other = file.parent_path();
        fs::path both;
        auto a = common.begin();
        for (auto b = other.begin(); a != common.end() && b != other.end() && *a == *b; ++a, ++b)
            both /= *a;
        common = both;
    }
    return common;
}

} // namespace

Task find_task(std::optional<int> index, std::optional<int> world, const Environment& environment) {
    const Environment get = environment ? environment : [](const char* name) -> const char* {
        return std::getenv(name);
    };
    std::string from = "--task";
    for (const auto& [rank, size] :
         {std::pair("SLURM_ARRAY_TASK_ID", ""),
          std::pair("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
          std::pair("PMI_RANK", "PMI_SIZE"), std::pair("JOB_COMPLETION_INDEX", "")}) {
        if (index) break;
        index = number(get, rank);
        if (!index) continue;
        from = rank;
        if (!world)
            world = from == "SLURM_ARRAY_TASK_ID" ? slurm_world(get)
                    : *size != '\0'               ? number(get, size)
                                                  : std::nullopt;
    }
    if (!index && !world) return {};
    if (!index)
        throw UsageError(fmt::format("--world is {}, but there is no --task, wanted 0 to {}",
                                     *world, *world - 1));
    if (!world)
        throw UsageError(
            fmt::format("{} is {}, but not of how many tasks; wanted --world", from, *index));
    if (*index < 0 || *index >= *world)
        throw UsageError(
            fmt::format("{} is {} of {} tasks, wanted 0 to {}", from, *index, *world, *world - 1));
    return {*index, *world};
}

std::vector<size_t> share_of(size_t count, Task task) {
    std::vector<size_t> out;
    for (auto i = static_cast<size_t>(task.index); i < count; i += static_cast<size_t>(task.world))
        out.push_back(i);
    return out;
}

std::vector<Input> find_inputs(const std::vector<std::string>& inputs) {
    std::vector<fs::path> files = expand_inputs(inputs);
    for (fs::path& file : files) {
        if (fs::is_directory(file))
            throw UsageError(
                fmt::format("{}: is a directory, wanted files; \"{}/*\" means all that "
                            "are in it",
                            file.string(), file.string()));
        file = file.lexically_normal();
    }
    std::sort(files.begin(), files.end());
    const fs::path common = common_directory(files);
    std::vector<Input> out;
    std::map<std::string, fs::path> names;
    for (const fs::path& file : files) {
        const fs::path inner = common.empty() ? file : file.lexically_relative(common);
        std::string name = without_formats(inner.generic_string());
        const auto [earlier, is_new] = names.emplace(name, file);
        if (!is_new && earlier->second == file)
            throw UsageError(fmt::format("{}: is given twice", file.string()));
        if (!is_new)
            throw UsageError(fmt::format("{} and {} would both be written as {}, wanted names that "
                                         "differ in more than their format",
                                         earlier->second.string(), file.string(), name));
        out.push_back({file, std::move(name)});
    }
    return out;
}

} // namespace tnl::corpus
