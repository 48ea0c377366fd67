// A file that any of several tasks may write at the end, all of them the same.
#pragma once

#include <filesystem>
#include <string_view>

namespace tnl::corpus {

// As write_file_atomic, by a name of this process's own: of tasks that come to it at once none
// takes away what another is about to rename.
void write_file_shared(const std::filesystem::path& path, std::string_view content);

} // namespace tnl::corpus
