// How much memory this process may still take.
#pragma once

#include <cstddef>
#include <filesystem>

namespace tnl {

// Bytes: the machine's free memory, with what its caches would give back, or what is left of the
// limit of the control groups (containers) that the process is in, if less. `root` stands for the
// root directory in tests.
size_t available_memory(const std::filesystem::path& root = "/");

} // namespace tnl
