#include "corpus/io/chunk_reader.h"

#include "base/check.h"
#include "base/memory.h"
#include "corpus/io/parquet.h"
#include "text/reader.h"

namespace tnl::corpus {
namespace {

constexpr size_t kRead = size_t{256} << 10; // bytes asked of a file at once

bool is_blank(std::string_view text) {
    return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

} // namespace

bool is_parquet(const std::filesystem::path& path) { return path.extension() == ".parquet"; }

Format format_of(const std::filesystem::path& path) {
    std::filesystem::path name = path.filename();
    if (name.extension() == ".gz" || name.extension() == ".zst") name = name.stem();
    if (is_jsonl(path) || name.extension() == ".json" || is_parquet(path)) return Format::jsonl;
    if (name.extension() == ".warc" || name.extension() == ".wet") return Format::warc;
    return Format::text;
}

ChunkReader::ChunkReader(std::filesystem::path path, ChunkOptions options)
    : path_(std::move(path)), format_(format_of(path_)), options_(std::move(options)),
      stream_(is_parquet(path_) ? open_parquet(path_) : open_bytes(path_)),
      cutter_(make_cutter(format_, options_)) {
    if (options_.max_record_bytes == 0) options_.max_record_bytes = available_memory() / 4;
}

std::string ChunkReader::place() const {
    return format_ == Format::warc ? fmt::format("{}: record {}", path_.string(), line_)
                                   : fmt::format("{}:{}", path_.string(), line_);
}

bool ChunkReader::next(Chunk& chunk) {
    std::string& bytes = chunk.bytes;
    chunk.records.clear();
    chunk.first_index = index_;
    bytes.swap(rest_);
    rest_.clear();
    size_t begin = 0;
    while (begin < options_.chunk_bytes) {
        Cutter::Cut cut{};
        if (begin < bytes.size() && cutter_->cut(bytes, begin, at_end_, place(), cut)) {
            if (!is_blank(std::string_view(bytes).substr(cut.begin, cut.end - cut.begin))) {
                chunk.records.push_back({cut.begin, cut.end, line_});
                ++index_;
            }
            line_ += cut.lines;
            begin = cut.next;
            continue;
        }
        if (at_end_) break;
        if (bytes.size() - begin >= options_.max_record_bytes)
            fail("{}: the record that begins here has {} bytes or more, too many for the memory "
                 "that there is; wanted smaller ones{}",
                 place(), options_.max_record_bytes,
                 format_ == Format::text ? ", or a separator between documents" : "");
        const size_t had = bytes.size();
        bytes.resize(had + kRead);
        const size_t got = stream_->read(bytes.data() + had, kRead);
        bytes.resize(had + got);
        at_end_ = got == 0;
    }
    rest_.assign(bytes, begin);
    bytes.resize(begin);
    bytes.append(Chunk::kPadding, '\0');
    return !chunk.records.empty() || !rest_.empty() || !at_end_;
}

} // namespace tnl::corpus
