// Files: mapped whole for reading, written whole or not at all. Every error names the path and says
// what the system answered.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace tnl {

// A read-only memory map of a regular file. An empty file maps to size 0.
class MappedFile {
  public:
    explicit MappedFile(const std::filesystem::path& path);
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;

    const std::byte* data() const { return data_; }
    size_t size() const { return size_; }
    const std::filesystem::path& path() const { return path_; }
    std::span<const std::byte> bytes() const { return {data_, size_}; }
    std::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }

  private:
    std::filesystem::path path_;
    const std::byte* data_ = nullptr;
    size_t size_ = 0;
};

// A file that appears under its name only when complete and on disk: written beside it as
// ".<name>.partial", flushed, renamed. Without commit() nothing is left. Not for two writers of one
// path at once.
class AtomicFile {
  public:
    explicit AtomicFile(std::filesystem::path path);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    void write(const void* data, size_t bytes); // buffered; throws on a full disk, naming the file
    void write(std::string_view text) { write(text.data(), text.size()); }
    // Overwrites bytes already written (headers known only at the end).
    void write_at(size_t offset, const void* data, size_t bytes);
    size_t written() const { return written_; }
    void commit();

  private:
    void flush();
    std::filesystem::path path_, partial_;
    std::string buffer_;
    int descriptor_ = -1;
    size_t written_ = 0;
};

std::string read_file(const std::filesystem::path& path);
void write_file_atomic(const std::filesystem::path& path, std::string_view content);
// Makes renames and new names inside `directory` durable.
void fsync_directory(const std::filesystem::path& directory);

} // namespace tnl
