#include "text/byte_stream.h"

#include "base/check.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

namespace tnl {
namespace {

constexpr size_t kChunk = 1 << 17;

class PlainFile final : public ByteStream {
  public:
    // The first bytes are read here, for peek().
    explicit PlainFile(const std::filesystem::path& path) : path_(path) {
        if (std::filesystem::is_directory(path)) fail("{}: is a directory", path.string());
        file_ = std::fopen(path.c_str(), "rb");
        if (!file_) fail("{}: cannot open: {}", path.string(), std::strerror(errno));
        std::setvbuf(file_, nullptr, _IONBF, 0); // callers read large pieces
        head_bytes_ = std::fread(head_, 1, sizeof head_, file_);
    }
    ~PlainFile() override { std::fclose(file_); }
    PlainFile(const PlainFile&) = delete;
    PlainFile& operator=(const PlainFile&) = delete;
    size_t read(char* to, size_t bytes) override {
        size_t n = 0;
        if (offset_ < head_bytes_) { // no seek: the file may be a pipe
            n = std::min(bytes, head_bytes_ - offset_);
            std::memcpy(to, head_ + offset_, n);
        } else {
            n = std::fread(to, 1, bytes, file_);
            if (n == 0 && std::ferror(file_))
                fail("{}: cannot read at offset {}: {}", path_.string(), offset_,
                     std::strerror(errno));
        }
        offset_ += n;
        return n;
    }
    std::string_view head() const { return {head_, head_bytes_}; } // of the file, at most 4 bytes
    size_t offset() const { return offset_; }
    const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
    std::FILE* file_;
    size_t offset_ = 0, head_bytes_ = 0;
    char head_[4] = {};
};

class GzipFile final : public ByteStream {
  public:
    explicit GzipFile(std::unique_ptr<PlainFile> file) : file_(std::move(file)), in_(kChunk) {
        if (inflateInit2(&z_, 15 + 16) != Z_OK) fail("zlib does not start");
    }
    ~GzipFile() override { inflateEnd(&z_); }
    GzipFile(const GzipFile&) = delete;
    GzipFile& operator=(const GzipFile&) = delete;
    size_t read(char* to, size_t bytes) override {
        z_.next_out = reinterpret_cast<Bytef*>(to);
        z_.avail_out = static_cast<uInt>(bytes);
        while (z_.avail_out == bytes) {
            if (z_.avail_in == 0) {
                z_.next_in = reinterpret_cast<Bytef*>(in_.data());
                z_.avail_in = static_cast<uInt>(file_->read(in_.data(), in_.size()));
                if (z_.avail_in == 0) {
                    if (between_) return 0;
                    fail("{}: gzip data ends too early, at offset {}; the file is truncated",
                         file_->path().string(), file_->offset());
                }
            }
            if (between_) { // a further member of the same file
                inflateReset(&z_);
                between_ = false;
            }
            const int result = inflate(&z_, Z_NO_FLUSH);
            if (result == Z_STREAM_END)
                between_ = true;
            else if (result != Z_OK && result != Z_BUF_ERROR)
                fail("{}: corrupt gzip data before offset {}: {}", file_->path().string(),
                     file_->offset() - z_.avail_in, z_.msg ? z_.msg : "unknown");
        }
        return bytes - z_.avail_out;
    }

  private:
    std::unique_ptr<PlainFile> file_;
    std::vector<char> in_;
    z_stream z_{};
    bool between_ = false;
};

class ZstdFile final : public ByteStream {
  public:
    explicit ZstdFile(std::unique_ptr<PlainFile> file)
        : file_(std::move(file)), in_(kChunk), stream_(ZSTD_createDStream(), ZSTD_freeDStream) {
        ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, 31);
    }
    size_t read(char* to, size_t bytes) override {
        ZSTD_outBuffer out{to, bytes, 0};
        while (out.pos == 0) {
            if (input_.pos == input_.size) {
                input_ = {in_.data(), file_->read(in_.data(), in_.size()), 0};
                if (input_.size == 0) {
                    if (between_) return 0;
                    fail("{}: zstd data ends too early, at offset {}; the file is truncated",
                         file_->path().string(), file_->offset());
                }
            }
            const size_t result = ZSTD_decompressStream(stream_.get(), &out, &input_);
            if (ZSTD_isError(result))
                fail("{}: corrupt zstd data before offset {}: {}", file_->path().string(),
                     file_->offset() - (input_.size - input_.pos), ZSTD_getErrorName(result));
            between_ = result == 0;
        }
        return out.pos;
    }

  private:
    std::unique_ptr<PlainFile> file_;
    std::vector<char> in_;
    std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream_;
    ZSTD_inBuffer input_{nullptr, 0, 0};
    bool between_ = true;
};

} // namespace

std::unique_ptr<ByteStream> open_bytes(const std::filesystem::path& path) {
    auto file = std::make_unique<PlainFile>(path);
    const std::string_view head = file->head();
    const bool skippable = head.size() == 4 && (head[0] & '\xF0') == '\x50' &&
                           head.ends_with("\x2A\x4D\x18"); // a zstd frame of something else
    if (head.starts_with("\x1F\x8B")) return std::make_unique<GzipFile>(std::move(file));
    if (head == "\x28\xB5\x2F\xFD" || skippable) return std::make_unique<ZstdFile>(std::move(file));
    for (const auto& [suffix, format] : {std::pair(".gz", "gzip"), {".zst", "zstd"}})
        if (path.extension() == suffix)
            fail("{}: no {} data: it does not begin as such", path.string(), format);
    return file;
}

} // namespace tnl
