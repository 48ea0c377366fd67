// Files cut into records, many at a time: what one thread does, so that others can parse and
// filter.
#pragma once

#include "text/byte_stream.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

// jsonl: .jsonl, .ndjson, .json; warc: .warc, .wet; before any .gz or .zst. Else text.
enum class Format { jsonl, text, warc };
Format format_of(const std::filesystem::path& path);

// Records as they lie in the file: lines of JSONL, documents of plain text, WARC records with their
// headers.
struct Chunk {
    struct Raw {
        size_t begin, end; // in bytes
        int64_t line;      // of the file, from 1; of WARC the record's number, from 1
    };
    std::string bytes; // ends with kPadding zero bytes that belong to no record
    std::vector<Raw> records;
    int64_t first_index = 0; // of the file's records, that of records[0]

    static constexpr size_t kPadding = 64; // what simdjson may read past the end
    std::string_view operator[](size_t i) const {
        return std::string_view(bytes).substr(records[i].begin, records[i].end - records[i].begin);
    }
};

struct ChunkOptions {
    size_t chunk_bytes = size_t{4} << 20; // a chunk ends with the record that reaches this
    size_t max_record_bytes = 0;          // 0: a quarter of the memory available at the start
    // Plain text: a line equal to this ends a document; empty: a file is one document.
    std::string separator = {};
};

// Finds the ends of records.
class Cutter {
  public:
    struct Cut {
        size_t begin, end, next; // the record, and where the one after it begins
        int64_t lines;           // from its beginning to that of the next
    };
    virtual ~Cutter() = default;
    // The record that begins at `begin`. False: its end is not in `bytes`, which (from `begin` on)
    // grow until the next call; with at_end they are all there is, and the answer is true. Throws
    // naming `place` where the bytes are no record.
    virtual bool cut(std::string_view bytes, size_t begin, bool at_end, const std::string& place,
                     Cut& out) = 0;
};
std::unique_ptr<Cutter> make_cutter(Format format, const ChunkOptions& options);

// Where chunks end depends on the file's (decompressed) bytes and the options alone. Records that
// are blank (lines of JSONL, documents of text) are passed over and have no index.
class ChunkReader {
  public:
    explicit ChunkReader(std::filesystem::path path, ChunkOptions options = {});

    // False at the end of the file. Throws naming file and line of a record that is too large, and
    // as open_bytes (text/byte_stream.h) does.
    bool next(Chunk& chunk);
    const std::filesystem::path& path() const { return path_; }
    Format format() const { return format_; }

  private:
    std::string place() const;
    std::filesystem::path path_;
    Format format_;
    ChunkOptions options_;
    std::unique_ptr<ByteStream> stream_;
    std::unique_ptr<Cutter> cutter_;
    std::string rest_; // read, but not part of the chunks given out
    bool at_end_ = false;
    int64_t index_ = 0, line_ = 1;
};

} // namespace tnl::corpus
