// The fields of one line of JSONL that matter here, with the bytes around the text; all of it
// checked.
#pragma once

#include "corpus/io/record.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

bool valid_utf8(std::string_view text);

class JsonRecordFields {
  public:
    JsonRecordFields(std::string text_field, std::string id_field, std::vector<std::string> fields);
    ~JsonRecordFields();
    JsonRecordFields(const JsonRecordFields&) = delete;
    JsonRecordFields& operator=(const JsonRecordFields&) = delete;

    // line: valid UTF-8, after which Chunk::kPadding more bytes may be read. Fills before,
    // text_json, after, text, id (empty: there is none) and fields (of the right size). Throws
    // Error: `place`, and what is wrong.
    void read(std::string_view line, const std::string& place, Record& record);

  private:
    struct Parser;
    std::unique_ptr<Parser> parser_;
    std::string text_field_, id_field_;
    std::vector<std::string> fields_;
};

// Where the value of a key of the outermost object lies in `json`, which must be valid. Empty where
// there is none. A key written with escapes is not found.
std::string_view raw_value(std::string_view json, std::string_view key);

} // namespace tnl::corpus
