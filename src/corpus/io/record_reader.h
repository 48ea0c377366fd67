// The records of one file, one after the other.
#pragma once

#include "corpus/io/record_parser.h"

namespace tnl::corpus {

class RecordReader {
  public:
    explicit RecordReader(const std::filesystem::path& path, const RecordOptions& options = {})
        : chunks_(path, options.chunks), parser_(path, chunks_.format(), options) {}

    // False at the end. Throws as ChunkReader and RecordParser do.
    bool next(Record& record) {
        for (;;) {
            while (at_ < chunk_.records.size())
                if (parser_.parse(chunk_, at_++, record)) return true;
            if (!chunks_.next(chunk_)) return false;
            at_ = 0;
        }
    }
    const RecordCounts& counts() const { return parser_.counts(); }

  private:
    ChunkReader chunks_;
    RecordParser parser_;
    Chunk chunk_;
    size_t at_ = 0;
};

} // namespace tnl::corpus
