#include "base/file.h"

#include "base/check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace tnl {
namespace {

constexpr size_t kBuffer = 1 << 20;

[[noreturn]] void fail_errno(const std::filesystem::path& path, const char* what) {
    const int code = errno;
    fail("{}: cannot {}: {}", path.string(), what, std::strerror(code));
}

int open_for_reading(const std::filesystem::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) fail_errno(path, "open");
    return descriptor;
}

// Writes everything, or throws.
void write_all(int descriptor, const char* data, size_t bytes, off_t offset,
               const std::filesystem::path& path) {
    while (bytes > 0) {
        const ssize_t n = ::pwrite(descriptor, data, bytes, offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) fail_errno(path, "write");
        data += n;
        offset += n;
        bytes -= static_cast<size_t>(n);
    }
}

} // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
    const int descriptor = open_for_reading(path);
    struct stat info {};
    if (::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
        ::close(descriptor);
        fail("{}: not a regular file", path.string());
    }
    size_ = static_cast<size_t>(info.st_size);
    if (size_ > 0) {
        void* map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (map == MAP_FAILED) {
            ::close(descriptor);
            fail_errno(path, "map");
        }
        data_ = static_cast<const std::byte*>(map);
    }
    ::close(descriptor);
}

MappedFile::~MappedFile() {
    if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

AtomicFile::AtomicFile(std::filesystem::path path)
    : path_(std::move(path)),
      partial_(path_.parent_path() / ("." + path_.filename().string() + ".partial")) {
    descriptor_ = ::open(partial_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail_errno(partial_, "create");
}

AtomicFile::~AtomicFile() {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    ::unlink(partial_.c_str());
}

void AtomicFile::write(const void* data, size_t bytes) {
    written_ += bytes;
    if (buffer_.size() + bytes <= kBuffer) {
        buffer_.append(static_cast<const char*>(data), bytes);
        return;
    }
    flush();
    if (bytes < kBuffer)
        buffer_.assign(static_cast<const char*>(data), bytes);
    else
        write_all(descriptor_, static_cast<const char*>(data), bytes,
                  static_cast<off_t>(written_ - bytes), path_);
}

void AtomicFile::flush() {
    // At this point written_ may already count bytes that are not in the buffer.
    struct stat info {};
    if (::fstat(descriptor_, &info) != 0) fail_errno(path_, "stat");
    write_all(descriptor_, buffer_.data(), buffer_.size(), info.st_size, path_);
    buffer_.clear();
}

void AtomicFile::write_at(size_t offset, const void* data, size_t bytes) {
    TNL_CHECK(offset + bytes <= written_, "{}: write of {} bytes at {} of {}", path_.string(),
              bytes, offset, written_);
    flush();
    write_all(descriptor_, static_cast<const char*>(data), bytes, static_cast<off_t>(offset),
              path_);
}

void AtomicFile::commit() {
    flush();
    if (::fsync(descriptor_) != 0) fail_errno(path_, "flush to disk");
    if (::close(std::exchange(descriptor_, -1)) != 0) {
        ::unlink(partial_.c_str());
        fail_errno(path_, "close");
    }
    if (::rename(partial_.c_str(), path_.c_str()) != 0) {
        const int code = errno;
        ::unlink(partial_.c_str());
        errno = code;
        fail_errno(path_, "rename into place");
    }
    fsync_directory(path_.parent_path());
}

std::string read_file(const std::filesystem::path& path) {
    const int descriptor = open_for_reading(path);
    std::string out;
    char chunk[1 << 16];
    for (;;) {
        const ssize_t n = ::read(descriptor, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            const int code = errno;
            ::close(descriptor);
            errno = code;
            fail_errno(path, "read");
        }
        if (n == 0) break;
        out.append(chunk, static_cast<size_t>(n));
    }
    ::close(descriptor);
    return out;
}

void write_file_atomic(const std::filesystem::path& path, std::string_view content) {
    AtomicFile file(path);
    file.write(content);
    file.commit();
}

void fsync_directory(const std::filesystem::path& directory) {
    const std::filesystem::path name = directory.empty() ? "." : directory;
    const int descriptor = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) fail_errno(name, "open directory");
    const int result = ::fsync(descriptor);
    ::close(descriptor);
    if (result != 0) fail_errno(name, "flush directory");
}

} // namespace tnl
