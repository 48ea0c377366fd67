// What a file is, for manifests: its size and the XXH3 of its bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace tnl::corpus {

struct FileIdentity {
    uint64_t bytes = 0;
    int64_t modified = 0; // nanoseconds since 1970
    std::string xxh3;     // 32 hexadecimal digits
};

FileIdentity identify(const std::filesystem::path& path);
// Size and time alone; xxh3 is empty.
FileIdentity glance(const std::filesystem::path& path);

std::string hash_text(std::string_view text); // 32 hexadecimal digits

} // namespace tnl::corpus
