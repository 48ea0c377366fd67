#include "corpus/jobs/shared_file.h"

#include "base/check.h"
#include "base/file.h"

#include <unistd.h>

#include <array>
#include <system_error>

namespace tnl::corpus {
namespace fs = std::filesystem;

void write_file_shared(const fs::path& path, std::string_view content) {
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    const fs::path own = path.parent_path() / fmt::format(".{}.{}.{}", path.filename().string(),
                                                          host.data(), ::getpid());
    write_file_atomic(own, content);
    std::error_code error;
    fs::rename(own, path, error);
    if (error) fail("{}: cannot rename into place: {}", path.string(), error.message());
    fsync_directory(path.parent_path());
}

} // namespace tnl::corpus
