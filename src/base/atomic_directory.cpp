#include "base/atomic_directory.h"

#include "base/check.h"
#include "base/file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tnl {
namespace fs = std::filesystem;
namespace {

void sync(const fs::path& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail("{}: cannot be opened: {}", path.string(), std::strerror(errno));
    const int result = ::fsync(fd), reason = errno;
    ::close(fd);
    // EINVAL: a file system whose directories cannot be synced.
    if (result != 0 && reason != EINVAL)
        fail("{}: cannot be flushed to disk: {}", path.string(), std::strerror(reason));
}

void move(const fs::path& from, const fs::path& to) {
    if (::rename(from.c_str(), to.c_str()) != 0)
        fail("{}: cannot be renamed to {}: {}", from.string(), to.string(), std::strerror(errno));
}

bool exchange(const fs::path& a, const fs::path& b) {
    // The raw call: glibc has had renameat2 only since 2.28.
    return ::syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0;
}

fs::path sibling(const fs::path& path, const char* suffix) {
    return path.parent_path() / ("." + path.filename().string() + suffix);
}

} // namespace

AtomicDirectory::AtomicDirectory(const fs::path& final)
    : final_(fs::absolute(final).lexically_normal()) {
    if (!final_.has_filename()) final_ = final_.parent_path();
    if (!final_.has_filename()) fail("{}: not the name of a directory to write", final.string());
    partial_ = sibling(final_, ".partial");
    std::error_code error;
    fs::remove_all(partial_, error);
    if (!error) fs::create_directories(partial_, error);
    if (error) fail("{}: cannot be made: {}", partial_.string(), error.message());
}

AtomicDirectory::~AtomicDirectory() {
    std::error_code ignored;
    if (!committed_) fs::remove_all(partial_, ignored);
}

void AtomicDirectory::commit() {
    TNL_CHECK(!committed_, "{} was committed already", final_.string());
    for (const auto& entry : fs::recursive_directory_iterator(partial_))
        if (entry.is_regular_file() || entry.is_directory()) sync(entry.path());
    sync(partial_);
    if (!fs::exists(final_)) {
        move(partial_, final_);
        committed_ = true;
    } else if (exchange(partial_, final_)) {
        committed_ = true;
        std::error_code ignored;
        fs::remove_all(partial_, ignored); // now what was there before
    } else {
        const fs::path old = sibling(final_, ".old");
        std::error_code ignored;
        fs::remove_all(old, ignored);
        move(final_, old);
        move(partial_, final_);
        committed_ = true;
        fs::remove_all(old, ignored);
    }
    fsync_directory(final_.parent_path());
}

} // namespace tnl
