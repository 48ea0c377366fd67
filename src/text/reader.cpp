#include "text/reader.h"

#include "base/check.h"
#include "text/byte_stream.h"
#include "text/utf8.h"

#include <nlohmann/json.hpp>

#include <glob.h>

#include <cstring>

namespace tnl {
namespace {

bool is_jsonl(const std::filesystem::path& path) {
    std::filesystem::path name = path.filename();
    if (name.extension() == ".gz" || name.extension() == ".zst") name = name.stem();
    return name.extension() == ".jsonl" || name.extension() == ".ndjson";
}

// The string `field` of one JSONL record.
std::string field_of(const std::string& line, const std::string& field, const Document& where) {
    const std::string place = fmt::format("{}:{}", where.file.string(), where.line);
    nlohmann::json record;
    try {
        record = nlohmann::json::parse(line);
    } catch (const nlohmann::json::parse_error& e) {
        fail("{}: not a JSON record, at byte {} of the line: {}", place, e.byte, e.what());
    }
    if (!record.is_object()) fail("{}: a JSON {}, wanted an object", place, record.type_name());
    const auto found = record.find(field);
    if (found == record.end()) fail("{}: the record has no field '{}'", place, field);
    if (!found->is_string())
        fail("{}: field '{}' is a {}, wanted a string", place, field, found->type_name());
    return found->get<std::string>();
}

} // namespace

std::vector<std::pair<std::string_view, BadUtf8>> enum_names(BadUtf8) {
    return {{"error", BadUtf8::error}, {"replace", BadUtf8::replace}, {"skip", BadUtf8::skip}};
}

// Lines of one file, with their numbers.
struct DocumentReader::File {
    explicit File(std::filesystem::path name)
        : path(std::move(name)), jsonl(is_jsonl(path)), bytes(open_bytes(path)) {}

    // The next line without its newline (a CR before it stays); false at the end of the file.
    bool line(std::string& out) {
        out.clear();
        bool any = false;
        for (;;) {
            if (begin == end) {
                end = bytes->read(buffer, sizeof buffer);
                begin = 0;
                if (end == 0) {
                    ends_with_newline = !any;
                    if (any) ++number;
                    return any;
                }
            }
            any = true;
            const void* newline = std::memchr(buffer + begin, '\n', end - begin);
            const size_t stop =
                newline ? static_cast<size_t>(static_cast<const char*>(newline) - buffer) : end;
            out.append(buffer + begin, stop - begin);
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
    bool ends_with_newline = false;
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
    : options_(std::move(options)), files_(expand_inputs(inputs)) {}
DocumentReader::~DocumentReader() = default;

DocumentReader::Counts& DocumentReader::Counts::operator+=(const Counts& more) {
    documents += more.documents;
    bytes += more.bytes;
    replaced += more.replaced;
    skipped += more.skipped;
    empty += more.empty;
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
    counts_.bytes += static_cast<int64_t>(document.text.size());
    return true;
}

bool DocumentReader::next_raw(Document& document) {
    for (;;) {
        if (!file_) {
            if (at_ == files_.size()) return false;
            file_ = std::make_unique<File>(files_[at_++]);
        }
        document.file = file_->path;
        document.line = file_->number + 1;
        document.text.clear();
        std::string line;
        if (file_->jsonl) {
            if (file_->line(line)) {
                if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
                // nlohmann-json checks UTF-8 itself; a policy other than error comes first here.
                if (options_.bad_utf8 == BadUtf8::replace)
                    line = replace_invalid_utf8(line, &counts_.replaced);
                if (options_.bad_utf8 == BadUtf8::skip &&
                    first_invalid_utf8(line) != std::string::npos) {
                    ++counts_.skipped;
                    continue;
                }
                document.text = field_of(line, options_.field, document);
                return true;
            }
        } else {
            bool any = false;
            while (file_->line(line)) {
                if (!options_.separator.empty() && line == options_.separator) return true;
                any = true;
                document.text += line;
                if (file_->ends_with_newline) document.text += '\n';
            }
            if (any) return true;
        }
        file_.reset();
    }
}

} // namespace tnl
