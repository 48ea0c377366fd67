#include "corpus/io/record_parser.h"

#include "base/check.h"
#include "text/utf8.h"

#include <algorithm>
#include <array>

namespace tnl::corpus {
namespace {

std::string lower_ascii(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
    return out;
}

struct WarcHeaders {
    std::string_view type, body;
    std::array<std::string_view, 4> values; // of kNames
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kNames = {
        {{"warc-record-id", "id"},
         {"warc-target-uri", "url"},
         {"warc-date", "date"},
         {"warc-identified-content-language", "language"}}};
};

WarcHeaders warc_headers(std::string_view raw) {
    WarcHeaders out;
    const size_t blank = raw.find("\r\n\r\n"); // is there: the cutter saw it
    out.body = raw.substr(blank + 4);
    for (size_t at = 0; at < blank;) {
        const size_t end = std::min(raw.find("\r\n", at), blank);
        const std::string_view line = raw.substr(at, end - at);
        at = end + 2;
        const size_t colon = line.find(':');
        if (colon == std::string_view::npos) continue;
        const std::string name = lower_ascii(line.substr(0, colon));
        std::string_view value = line.substr(colon + 1);
        value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
        if (name == "warc-type") out.type = value;
        for (size_t i = 0; i < out.kNames.size(); ++i)
            if (name == out.kNames[i].first) out.values[i] = value;
    }
    return out;
}

} // namespace

std::vector<std::pair<std::string_view, BadRecord>> enum_names(BadRecord) {
    return {{"error", BadRecord::error}, {"skip", BadRecord::skip}};
}

RecordCounts& RecordCounts::operator+=(const RecordCounts& more) {
    records += more.records;
    bytes += more.bytes;
    skipped += more.skipped;
    replaced += more.replaced;
    passed_over += more.passed_over;
    return *this;
}

RecordParser::RecordParser(const std::filesystem::path& path, Format format,
                           const RecordOptions& options)
    : path_(path.string()), name_(path.filename().string()), format_(format), options_(options),
      json_(options.text_field, options.id_field, options.fields) {}

std::string RecordParser::place(const Record& record) const {
    return format_ == Format::warc ? fmt::format("{}: record {}", path_, record.line)
                                   : fmt::format("{}:{}", path_, record.line);
}

bool RecordParser::parse(const Chunk& chunk, size_t i, Record& record) {
    record.index = chunk.first_index + static_cast<int64_t>(i);
    record.line = chunk.records[i].line;
    record.fields.assign(options_.fields.size(), {});
    std::string_view raw = chunk[i];
    if (!valid_utf8(raw)) {
        if (options_.bad_utf8 == BadUtf8::error)
            fail("{}: invalid UTF-8 at byte {} of the record that begins here", place(record),
                 first_invalid_utf8(raw));
        if (options_.bad_utf8 == BadUtf8::skip) {
            ++counts_.skipped;
            return false;
        }
        repaired_ = replace_invalid_utf8(raw, &counts_.replaced);
        const size_t size = repaired_.size();
        repaired_.append(Chunk::kPadding, '\0');
        raw = std::string_view(repaired_).substr(0, size);
    }
    if (format_ == Format::jsonl) {
        if (!parse_json(raw, record)) return false;
    } else if (format_ == Format::warc) {
        if (!parse_warc(raw, record)) return false;
    } else {
        record.id = fmt::format("{}/{}", name_, record.index);
        record.before = "{\"id\": ";
        append_json_string(record.before, record.id);
        set_plain(raw, record);
    }
    ++counts_.records;
    counts_.bytes += std::ssize(record.text);
    return true;
}

bool RecordParser::parse_json(std::string_view raw, Record& record) {
    const size_t end = raw.find_last_not_of(" \t\r");
    if (end != std::string_view::npos) raw = raw.substr(0, end + 1);
    try {
        json_.read(raw, place(record), record);
    } catch (const Error&) {
        if (options_.bad_record == BadRecord::error) throw;
        ++counts_.skipped;
        return false;
    }
    if (record.id.empty()) record.id = fmt::format("{}/{}", name_, record.index);
    return true;
}

bool RecordParser::parse_warc(std::string_view raw, Record& record) {
    const WarcHeaders headers = warc_headers(raw);
    if (headers.type != "conversion") {
        ++counts_.passed_over;
        return false;
    }
    record.id = headers.values[0];
    if (record.id.empty()) record.id = fmt::format("{}/{}", name_, record.index);
    record.before = "{\"id\": ";
    append_json_string(record.before, record.id);
    for (size_t i = 1; i < headers.values.size(); ++i) {
        const std::string_view name = headers.kNames[i].second;
        if (headers.values[i].empty()) continue;
        record.before += fmt::format(", \"{}\": ", name);
        append_json_string(record.before, headers.values[i]);
        for (size_t f = 0; f < options_.fields.size(); ++f)
            if (options_.fields[f] == name) record.fields[f] = headers.values[i];
    }
    set_plain(headers.body, record);
    return true;
}

void RecordParser::set_plain(std::string_view text, Record& record) {
    record.before += ", \"text\": ";
    record.set_text(text);
    record.after = "}";
}

} // namespace tnl::corpus
