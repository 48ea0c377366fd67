#include "text/reader.h"

#include "base/check.h"
#include "base/memory.h"
#include "text/byte_stream.h"
#include "text/utf8.h"

#include <glob.h>

#include <algorithm>
#include <cstring>

namespace tnl {

bool is_jsonl(const std::filesystem::path& path) {
    std::filesystem::path name = path.filename();
    if (name.extension() == ".gz" || name.extension() == ".zst") name = name.stem();
    return name.extension() == ".jsonl" || name.extension() == ".ndjson";
}

std::vector<std::pair<std::string_view, BadUtf8>> enum_names(BadUtf8) {
    return {{"error", BadUtf8::error}, {"replace", BadUtf8::replace}, {"skip", BadUtf8::skip}};
}

// Lines of one file, with their numbers.
struct DocumentReader::File {
    explicit File(std::filesystem::path name)
        : path(std::move(name)), jsonl(is_jsonl(path)), bytes(open_bytes(path)) {}

    // Appends the next line without its newline (a CR before it stays), but stops when `out` has
    // `most` bytes; false at the end of the file.
    bool line(std::string& out, size_t most) {
        bool any = false;
        for (;;) {
            if (begin == end) {
                end = bytes->read(buffer, sizeof buffer);
                begin = 0;
                if (end == 0) {
                    ends_with_newline = !any;
                    at_end = true;
                    if (any) ++number;
                    return any;
                }
            }
            any = true;
            const void* newline = std::memchr(buffer + begin, '\n', end - begin);
            const size_t stop =
                newline ? static_cast<size_t>(static_cast<const char*>(newline) - buffer) : end;
            out.append(buffer + begin, std::min(stop - begin, most - std::min(most, out.size())));
            if (out.size() >= most) return true;
            begin = newline ? stop + 1 : stop;
            if (newline) {
                ++number;
                ends_with_newline = true;
                return true;
            }
        }
    }

    std::filesystem::path path;
    bool jsonl;
    std::unique_ptr<ByteStream> bytes;
    char buffer[1 << 16];
    size_t begin = 0, end = 0;
    int64_t number = 0; // lines read
    bool ends_with_newline = false, at_end = false;
};

std::vector<std::filesystem::path> expand_inputs(const std::vector<std::string>& inputs) {
    std::vector<std::filesystem::path> out;
    for (const std::string& input : inputs) {
        if (std::filesystem::exists(input)) {
            out.emplace_back(input);
            continue;
        }
        glob_t found{};
        const int result = ::glob(input.c_str(), GLOB_ERR, nullptr, &found);
        for (size_t i = 0; result == 0 && i < found.gl_pathc; ++i)
            out.emplace_back(found.gl_pathv[i]);
        ::globfree(&found);
        if (result != 0) throw UsageError(fmt::format("{}: no such file", input));
    }
    if (out.empty()) throw UsageError("no input files");
    return out;
}

DocumentReader::DocumentReader(const std::vector<std::string>& inputs, ReaderOptions options)
    : options_(std::move(options)), files_(expand_inputs(inputs)) {
    // Beside the text there are its tokens and what the tokenizer keeps.
    if (options_.max_bytes == 0) options_.max_bytes = available_memory() / 4;
}
DocumentReader::~DocumentReader() = default;

DocumentReader::Counts& DocumentReader::Counts::operator+=(const Counts& more) {
    documents += more.documents;
    bytes += more.bytes;
    replaced += more.replaced;
    skipped += more.skipped;
    empty += more.empty;
    instructions += more.instructions;
    return *this;
}

bool DocumentReader::next(Document& document) {
    while (next_raw(document))
        if (accept(document)) return true;
    return false;
}

bool DocumentReader::accept(Document& document) {
    if (document.text.find_first_not_of(" \t\r\n") == std::string::npos) {
        ++counts_.empty;
        return false;
    }
    const size_t bad = first_invalid_utf8(document.text);
    if (bad != std::string::npos) {
        if (options_.bad_utf8 == BadUtf8::error)
            fail("{}: invalid UTF-8 at byte {} of the document that begins on line {}",
                 document.file.string(), bad, document.line);
        if (options_.bad_utf8 == BadUtf8::skip) {
            ++counts_.skipped;
            return false;
        }
        document.text = replace_invalid_utf8(document.text, &counts_.replaced);
    }
    ++counts_.documents;
    counts_.instructions += document.instruct;
    counts_.bytes += static_cast<int64_t>(document.text.size());
    return true;
}

void DocumentReader::check_size(const Document& document) const {
    if (document.text.size() < options_.max_bytes) return;
    fail("{}:{}: the document that begins here has {} bytes or more, too many for the memory that "
         "there is; wanted smaller documents{}",
         document.file.string(), document.line, options_.max_bytes,
         file_->jsonl ? "" : ", or a separator between them");
}

bool DocumentReader::next_raw(Document& document) {
    for (;;) {
        if (!file_) {
            if (at_ == files_.size()) return false;
            file_ = std::make_unique<File>(files_[at_++]);
        }
        document.file = file_->path;
        document.line = file_->number + 1;
        static_cast<DocumentText&>(document) = {};
        if (file_->jsonl ? next_record(document) : next_text(document)) return true;
        if (file_->at_end) file_.reset();
    }
}

// A line of JSONL; false if it is blank, or to be skipped.
bool DocumentReader::next_record(Document& document) {
    std::string& line = document.text;
    if (!file_->line(line, options_.max_bytes)) return false;
    check_size(document);
    if (line.find_first_not_of(" \t\r") == std::string::npos) return false;
    // The JSON parser checks UTF-8 itself; a policy other than error comes first here.
    if (options_.bad_utf8 == BadUtf8::replace) line = replace_invalid_utf8(line, &counts_.replaced);
    if (options_.bad_utf8 == BadUtf8::skip && first_invalid_utf8(line) != std::string::npos) {
        ++counts_.skipped;
        return false;
    }
    static_cast<DocumentText&>(document) =
        parse_record(line, fmt::format("{}:{}", document.file.string(), document.line),
                     options_.records, options_.field, options_.format);
    return true;
}

// Lines up to a separator or the end of the file; false if there are none.
bool DocumentReader::next_text(Document& document) {
    std::string& text = document.text;
    for (size_t begin = 0; file_->line(text, options_.max_bytes); begin = text.size()) {
        check_size(document);
        if (!options_.separator.empty() &&
            std::string_view(text).substr(begin) == options_.separator) {
            text.resize(begin);
            return true;
        }
        if (file_->ends_with_newline) text += '\n';
    }
    return !text.empty();
}

} // namespace tnl
