// For fuzz targets of what reads files: the bytes as a file of this process's own, in memory where
// the system has a place for that.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace tnl::testing {

// A directory that lasts as long as the process.
inline const std::filesystem::path& fuzz_directory() {
    static const struct Directory {
        std::filesystem::path path;
        Directory() {
            const std::filesystem::path memory = "/dev/shm";
            const bool usable = ::access(memory.c_str(), W_OK) == 0;
            path = (usable ? memory : std::filesystem::temp_directory_path()) /
                   ("tnl_fuzz_" + std::to_string(getpid()));
            std::filesystem::create_directories(path);
        }
        ~Directory() {
            std::error_code ignored;
            std::filesystem::remove_all(path, ignored);
        }
    } directory;
    return directory.path;
}

inline std::filesystem::path fuzz_file(const std::string& name, const void* data, size_t size) {
    const std::filesystem::path path = fuzz_directory() / name;
    std::ofstream file(path, std::ios::binary);
    if (!file.write(static_cast<const char*>(data), static_cast<std::streamsize>(size)))
        std::abort();
    return path;
}

} // namespace tnl::testing
