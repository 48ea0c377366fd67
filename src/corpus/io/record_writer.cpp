#include "corpus/io/record_writer.h"

#include "base/check.h"

#include <zstd.h>

namespace tnl::corpus {
namespace {

void check(size_t result) {
    if (ZSTD_isError(result)) fail("zstd does not compress: {}", ZSTD_getErrorName(result));
}

} // namespace

struct FrameEncoder::Context {
    std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> zstd{ZSTD_createCCtx(), ZSTD_freeCCtx};
};

FrameEncoder::FrameEncoder(int level) : context_(std::make_unique<Context>()) {
    check(ZSTD_CCtx_setParameter(context_->zstd.get(), ZSTD_c_compressionLevel, level));
    check(ZSTD_CCtx_setParameter(context_->zstd.get(), ZSTD_c_checksumFlag, 1));
}
FrameEncoder::~FrameEncoder() = default;

void FrameEncoder::append_frame(std::string& out, std::string_view content) {
    if (!content.empty()) append_any(out, content);
}

void FrameEncoder::append_empty_frame(std::string& out) { append_any(out, {}); }

void FrameEncoder::append_any(std::string& out, std::string_view content) {
    const size_t had = out.size();
    out.resize(had + ZSTD_compressBound(content.size()));
    const size_t size = ZSTD_compress2(context_->zstd.get(), out.data() + had, out.size() - had,
                                       content.data(), content.size());
    check(size);
    out.resize(had + size);
}

RecordWriter::RecordWriter(const std::filesystem::path& path, int level, size_t frame_bytes)
    : file_(path), encoder_(level), frame_bytes_(frame_bytes) {}

void RecordWriter::add_line(std::string_view line) {
    lines_ += line;
    lines_ += '\n';
    end_line();
}

void RecordWriter::end_line() {
    if (lines_.size() >= frame_bytes_) flush();
}

void RecordWriter::flush() {
    frame_.clear();
    encoder_.append_frame(frame_, lines_);
    file_.write(frame_);
    lines_.clear();
}

void RecordWriter::add_frame(std::string_view frame) {
    flush();
    file_.write(frame);
}

void RecordWriter::commit() {
    flush();
    if (file_.written() == 0) { // readers want a frame, if an empty one
        encoder_.append_empty_frame(frame_);
        file_.write(frame_);
    }
    file_.commit();
}

} // namespace tnl::corpus
