// Bytes of a file or pipe, decompressed on the way: plain, gzip or zstd, told by the first bytes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>

namespace tnl {

class ByteStream {
  public:
    virtual ~ByteStream() = default;
    // Up to `bytes` bytes; 0 at the end. Throws naming the file and the offset in the compressed
    // file where data is truncated or corrupt.
    virtual size_t read(char* to, size_t bytes) = 0;
};

std::unique_ptr<ByteStream> open_bytes(const std::filesystem::path& path);

} // namespace tnl
