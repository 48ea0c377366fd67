#include "base/memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace tnl {
namespace fs = std::filesystem;
namespace {

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

// The number after `key` in a file of "key number" lines; without a key, the file's first word.
std::optional<size_t> number_in(const fs::path& file, const std::string& key = "") {
    std::ifstream lines(file);
    size_t value = 0;
    if (key.empty()) return lines >> value ? std::optional(value) : std::nullopt; // "max": none
    for (std::string word; lines >> word;)
        if (word == key && lines >> value) return value;
    return std::nullopt;
}

struct GroupFiles {
    const char *limit, *used, *cache;
};
constexpr GroupFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                  "total_inactive_file"};
constexpr GroupFiles kVersion2 = {"memory.max", "memory.current", "inactive_file"};

size_t left_of(const fs::path& group, const GroupFiles& files) {
    const auto limit = number_in(group / files.limit), used = number_in(group / files.used);
    if (!limit || !used) return kNoLimit;
    // The kernel takes back pages of files that lie idle before it refuses.
    const size_t cache = number_in(group / "memory.stat", files.cache).value_or(0);
    return *limit - std::min(*limit, *used - std::min(*used, cache));
}

// Of the group "/a/b" below `mount`: the limits of /a/b, /a and / all hold.
size_t left_of_all(const fs::path& mount, fs::path group, const GroupFiles& files) {
    size_t left = kNoLimit;
    for (;; group = group.parent_path()) {
        left = std::min(left, left_of(mount / group.relative_path(), files));
        if (!group.has_relative_path()) return left;
    }
}

} // namespace

size_t available_memory(const fs::path& root) {
    size_t left = kNoLimit;
    if (const auto kib = number_in(root / "proc/meminfo", "MemAvailable:")) left = *kib * 1024;
    std::ifstream groups(root / "proc/self/cgroup"); // number:controllers:path
    for (std::string line; std::getline(groups, line);) {
        const size_t first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
        const fs::path mount = root / "sys/fs/cgroup", group = line.substr(second + 1);
        if (controllers == ",,")
            left = std::min(left, left_of_all(mount, group, kVersion2));
        else if (controllers.find(",memory,") != std::string::npos)
            left = std::min(left, left_of_all(mount / "memory", group, kVersion1));
    }
    return left;
}

} // namespace tnl
