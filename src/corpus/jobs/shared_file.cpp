#include "corpus/jobs/shared_file.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/jobs/process_name.h"

#include <system_error>

namespace tnl::corpus {
namespace fs = std::filesystem;

void write_file_shared(const fs::path& path, std::string_view content) {
    const fs::path own =
        path.parent_path() / fmt::format(".{}.{}", path.filename().string(), process_name());
    write_file_atomic(own, content);
    std::error_code error;
    fs::rename(own, path, error);
    if (error) fail("{}: cannot rename into place: {}", path.string(), error.message());
    fsync_directory(path.parent_path());
}

} // namespace tnl::corpus
