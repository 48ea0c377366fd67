// Documents of text and JSONL files, plain, .gz or .zst, one after the other in fixed memory (one
// document at a time).
#pragma once

#include "text/record.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace tnl {

enum class BadUtf8 { error, replace, skip }; // of a document with invalid UTF-8
std::vector<std::pair<std::string_view, BadUtf8>> enum_names(BadUtf8);

struct ReaderOptions {
    Records records = Records::automatic;        // of JSONL files
    std::string field = "text";                  // of a JSONL record that is a text
    ChatTemplate format = ChatTemplate::plain(); // of instructions
    BadUtf8 bad_utf8 = BadUtf8::error;
    // Plain text: a line equal to this ends a document; empty: a file is one document.
    std::string separator = "";
    size_t max_bytes = 0; // of a document; 0: a quarter of the memory available at the start
};

struct Document : DocumentText {
    std::filesystem::path file;
    int64_t line = 1; // where it begins, from 1
};

class DocumentReader {
  public:
    // inputs: files and wildcards ("data/*.jsonl.zst"), read in the given order, the matches of a
    // wildcard by name. Throws UsageError naming an input that matches nothing. A file is JSONL if
    // its name has .jsonl or .ndjson before any .gz or .zst, else plain text.
    explicit DocumentReader(const std::vector<std::string>& inputs, ReaderOptions options = {});
    ~DocumentReader();

    // Documents without text are passed over. Throws naming file and line, also of a document that
    // is too large.
    bool next(Document& document);

    const std::vector<std::filesystem::path>& files() const { return files_; }
    struct Counts {
        int64_t documents = 0, bytes = 0, replaced = 0, skipped = 0, empty = 0;
        int64_t instructions = 0; // of the documents
        Counts& operator+=(const Counts& more);
    };
    const Counts& counts() const { return counts_; }

  private:
    struct File;
    bool next_raw(Document& document);
    bool next_record(Document& document);
    bool next_text(Document& document);
    void check_size(const Document& document) const;
    bool accept(Document& document);
    ReaderOptions options_;
    std::vector<std::filesystem::path> files_;
    size_t at_ = 0;
    std::unique_ptr<File> file_;
    Counts counts_;
};

// Whether the name is of JSONL: .jsonl or .ndjson before any .gz or .zst.
bool is_jsonl(const std::filesystem::path& path);

// The files that `inputs` name, wildcards expanded.
std::vector<std::filesystem::path> expand_inputs(const std::vector<std::string>& inputs);

} // namespace tnl
