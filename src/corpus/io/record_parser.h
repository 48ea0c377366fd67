// Raw records (chunk_reader.h) to records: JSON by simdjson, WARC headers, plain text.
#pragma once

#include "corpus/io/chunk_reader.h"
#include "corpus/io/json_fields.h"
#include "corpus/io/record.h"
#include "text/reader.h"

namespace tnl::corpus {

enum class BadRecord { error, skip }; // JSON that is none, or without a text
std::vector<std::pair<std::string_view, BadRecord>> enum_names(BadRecord);

struct RecordOptions {
    std::string text_field = "text", id_field = "id"; // of JSONL, at the top level
    // Further values that Record::fields receives: names, with dots between nested ones
    // ("metadata.url"). Strings are unescaped, numbers and true, false, null are as in the file.
    std::vector<std::string> fields = {};
    BadUtf8 bad_utf8 = BadUtf8::error;
    BadRecord bad_record = BadRecord::error;
    ChunkOptions chunks = {};
};

struct RecordCounts {
    int64_t records = 0, bytes = 0; // given out; bytes of their texts
    int64_t skipped = 0;            // by bad_utf8 and bad_record
    int64_t replaced = 0;           // invalid pieces of UTF-8
    int64_t passed_over = 0;        // WARC records that are no text
    RecordCounts& operator+=(const RecordCounts& more);
};

// One for each thread.
class RecordParser {
  public:
    RecordParser(const std::filesystem::path& path, Format format, const RecordOptions& options);

    // Record i of a chunk of the file. False: passed over, or skipped as the options say. Throws
    // naming file, line, field, value, and what would be right. Of WARC only records of type
    // conversion (what WET files hold) are texts; they become
    //   {"id": WARC-Record-ID, "url": ..., "date": ..., "language": ..., "text": ...}
    // and plain text becomes {"id": ..., "text": ...}.
    bool parse(const Chunk& chunk, size_t i, Record& record);
    const RecordCounts& counts() const { return counts_; }

  private:
    std::string place(const Record& record) const;
    bool parse_json(std::string_view raw, Record& record);
    bool parse_warc(std::string_view raw, Record& record);
    void set_plain(std::string_view text, Record& record);

    std::string path_, name_;
    Format format_;
    RecordOptions options_;
    JsonRecordFields json_;
    std::string repaired_;
    RecordCounts counts_;
};

} // namespace tnl::corpus
