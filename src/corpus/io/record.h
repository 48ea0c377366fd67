// A document of the corpus: its text, and all else that its record holds as the bytes it was read
// as.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

// One record. Written as JSON it is before + text_json + after: fields other than the text, their
// order and the spaces between them stay as they were read.
struct Record {
    std::string before;    // JSON up to the text's value, as {"id": "a", "text":
    std::string text_json; // the text's value, quotes included
    std::string after;     // JSON after it, as , "url": "..."}
    std::string text;      // what text_json says, UTF-8

    std::string id;    // the field `id`, a string or number; without it "<file name>/<index>"
    int64_t index = 0; // of its file's records, from 0
    int64_t line = 1;  // of its file, where it begins, from 1
    std::vector<std::string> fields; // values of RecordOptions::fields, "" where there is none

    void set_text(std::string_view text);
    // Sets a field of the outermost object to a value, which is JSON: in its place, or at the end.
    void set_field(std::string_view name, std::string_view value);
    void append_json(std::string& out) const; // one line, newline included
};

// Appends text as a JSON string with its quotes: only what must be escaped is (", \ and the control
// characters below U+0020), so UTF-8 stays as it is.
void append_json_string(std::string& out, std::string_view text);

} // namespace tnl::corpus
