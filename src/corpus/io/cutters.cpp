// Where a record of JSONL, plain text and WARC ends.
#include "base/check.h"
#include "corpus/io/chunk_reader.h"

#include <algorithm>
#include <charconv>

namespace tnl::corpus {
namespace {

class LineCutter final : public Cutter {
  public:
    bool cut(std::string_view bytes, size_t begin, bool at_end, const std::string&,
             Cut& out) override {
        const size_t newline = bytes.find('\n', begin + seen_);
        if (newline == std::string_view::npos && !at_end) {
            seen_ = bytes.size() - begin;
            return false;
        }
        seen_ = 0;
        const bool ended = newline != std::string_view::npos;
        out = {begin, ended ? newline : bytes.size(), ended ? newline + 1 : bytes.size(), 1};
        return true;
    }

  private:
    size_t seen_ = 0; // bytes from `begin` on without a newline
};

class DocumentCutter final : public Cutter {
  public:
    explicit DocumentCutter(std::string separator) : separator_(std::move(separator)) {}
    bool cut(std::string_view bytes, size_t begin, bool at_end, const std::string&,
             Cut& out) override {
        while (!separator_.empty()) {
            const size_t line = begin + seen_, newline = bytes.find('\n', line);
            if (newline == std::string_view::npos) break;
            ++lines_;
            seen_ = newline + 1 - begin;
            if (bytes.substr(line, newline - line) == separator_)
                return give({begin, line, newline + 1, lines_}, out);
        }
        if (!at_end) return false;
        size_t end = bytes.size();
        if (!separator_.empty() && bytes.substr(begin + seen_) == separator_) end = begin + seen_;
        return give({begin, end, bytes.size(), lines_ + 1}, out);
    }

  private:
    bool give(Cut cut, Cut& out) {
        out = cut;
        seen_ = 0;
        lines_ = 0;
        return true;
    }
    std::string separator_;
    size_t seen_ = 0; // bytes from `begin` on, whole lines, that are no separator
    int64_t lines_ = 0;
};

bool equal_but_case(std::string_view a, std::string_view b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
               return (x >= 'A' && x <= 'Z' ? x + 32 : x) == y;
           });
}

// ISO 28500: a version line, header lines, an empty line, Content-Length bytes, two line ends.
class WarcCutter final : public Cutter {
  public:
    bool cut(std::string_view bytes, size_t begin, bool at_end, const std::string& place,
             Cut& out) override {
        size_t start = bytes.find_first_not_of("\r\n", begin);
        if (start == std::string_view::npos) start = bytes.size();
        if (start == bytes.size()) { // line ends between two records, or after the last
            out = {start, start, start, 0};
            return at_end;
        }
        if (bytes.size() - start >= kVersion.size() && !bytes.substr(start).starts_with(kVersion))
            fail("{}: begins with \"{}\", wanted \"WARC/\"", place,
                 bytes.substr(start, kVersion.size()));
        const size_t blank = bytes.find("\r\n\r\n", start);
        if (blank == std::string_view::npos) {
            if (at_end) fail("{}: the file ends in its headers; it is truncated", place);
            if (bytes.size() - start > kMostHeaders)
                fail("{}: headers of more than {} bytes", place, kMostHeaders);
            return false;
        }
        const size_t body = blank + 4;
        const size_t length = content_length(bytes.substr(start, blank - start), place);
        if (length > bytes.size() - body) {
            if (at_end)
                fail("{}: Content-Length is {}, but the file ends after {} bytes; it is truncated",
                     place, length, bytes.size() - body);
            return false;
        }
        out = {start, body + length, body + length, 1};
        return true;
    }

  private:
    static constexpr std::string_view kVersion = "WARC/";
    static constexpr size_t kMostHeaders = size_t{1} << 20;

    static size_t content_length(std::string_view headers, const std::string& place) {
        for (size_t at = 0; at < headers.size();) {
            const size_t end = std::min(headers.find("\r\n", at), headers.size());
            const std::string_view line = headers.substr(at, end - at);
            at = end + 2;
            const size_t colon = line.find(':');
            if (colon == std::string_view::npos ||
                !equal_but_case(line.substr(0, colon), "content-length"))
                continue;
            std::string_view value = line.substr(colon + 1);
            value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
            size_t length = 0;
            const auto [stop, error] =
                std::from_chars(value.data(), value.data() + value.size(), length);
            if (error != std::errc{} || stop != value.data() + value.size())
                fail("{}: Content-Length is \"{}\", wanted a number of bytes", place, value);
            return length;
        }
        fail("{}: has no Content-Length", place);
    }
};

} // namespace

std::unique_ptr<Cutter> make_cutter(Format format, const ChunkOptions& options) {
    switch (format) {
    case Format::jsonl:
        return std::make_unique<LineCutter>();
    case Format::warc:
        return std::make_unique<WarcCutter>();
    case Format::text:
        break;
    }
    return std::make_unique<DocumentCutter>(options.separator);
}

} // namespace tnl::corpus
