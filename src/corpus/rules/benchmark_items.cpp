#include "corpus/rules/benchmark_items.h"

#include "base/check.h"
#include "base/nearest.h"
#include "corpus/io/record_reader.h"
#include "text/byte_stream.h"

#include <algorithm>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

bool is_csv(fs::path file) {
    if (file.extension() == ".gz" || file.extension() == ".zst") file.replace_extension();
    return file.extension() == ".csv";
}

std::string read_all(const fs::path& file) {
    const std::unique_ptr<ByteStream> stream = open_bytes(file);
    std::string out;
    constexpr size_t kBlock = size_t{1} << 16;
    for (size_t got = kBlock; got > 0;) {
        const size_t size = out.size();
        out.resize(size + kBlock);
        got = stream->read(out.data() + size, kBlock);
        out.resize(size + got);
    }
    if (out.starts_with("\xEF\xBB\xBF")) out.erase(0, 3); // as spreadsheets begin a file
    return out;
}

size_t column_of(const std::vector<std::string>& names, const std::string& name) {
    return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

void read_csv(const fs::path& file, const BenchmarkFields& fields,
              const std::function<void(const BenchmarkItem&)>& take) {
    const std::string place = file.string();
    const std::vector<std::vector<std::string>> rows = parse_csv(read_all(file), place);
    if (rows.empty()) return;
    const bool named = fields.columns.empty();
    const std::vector<std::string>& names = named ? rows.front() : fields.columns;
    for (const std::string& label : fields.labels)
        if (column_of(names, label) == names.size())
            throw UsageError(fmt::format(
                "{}: has no column '{}'; the nearest is '{}'. Wanted decontaminate.labels and "
                "decontaminate.query of its columns, or decontaminate.columns where its first line "
                "does not name them",
                place, label, nearest(label, names)));
    const size_t query = column_of(names, fields.query);
    for (size_t i = named ? 1 : 0; i < rows.size(); ++i) {
        const std::vector<std::string>& row = rows[i];
        if (row.size() != names.size())
            fail("{}: row {} has {} fields, wanted {}: {}", place, i + 1, row.size(), names.size(),
                 fmt::join(names, ","));
        BenchmarkItem item;
        if (query < row.size()) item.query = row[query];
        for (const std::string& label : fields.labels) {
            const std::string& value = row[column_of(names, label)];
            const size_t other = column_of(names, value);
            item.labels.push_back(value.empty() || other == names.size() ? value : row[other]);
        }
        take(item);
    }
}

void read_jsonl(const fs::path& file, const BenchmarkFields& fields,
                const std::function<void(const BenchmarkItem&)>& take) {
    RecordOptions options;
    options.text_field = fields.labels[0];
    options.fields = {fields.query};
    options.fields.insert(options.fields.end(), fields.labels.begin() + 1, fields.labels.end());
    RecordReader reader(file, options);
    for (Record record; reader.next(record);) {
        BenchmarkItem item{record.fields[0], {record.text}};
        item.labels.insert(item.labels.end(), record.fields.begin() + 1, record.fields.end());
        take(item);
    }
}

} // namespace

void read_items(const fs::path& file, const BenchmarkFields& fields,
                const std::function<void(const BenchmarkItem&)>& take) {
    (is_csv(file) ? read_csv : read_jsonl)(file, fields, take);
}

std::vector<std::vector<std::string>> parse_csv(std::string_view text, const std::string& place) {
    std::vector<std::vector<std::string>> rows;
    std::vector<std::string> row;
    size_t line = 1;
    const auto end_row = [&] {
        if (row.size() > 1 || !row.front().empty()) rows.push_back(std::move(row));
        row.clear();
    };
    for (size_t at = 0; at < text.size();) {
        std::string field;
        if (text[at] == '"') {
            const size_t began = line;
            for (++at;; ++at) {
                if (at >= text.size()) fail("{}:{}: a quote that does not end", place, began);
                if (text[at] == '"' && text.substr(at + 1, 1) != "\"") break;
                if (text[at] == '"') ++at;
                line += text[at] == '\n';
                field += text[at];
            }
            ++at;
        }
        const size_t end = std::min(text.find_first_of(",\n", at), text.size());
        std::string_view rest = text.substr(at, end - at);
        if (end < text.size() && text[end] == '\n' && rest.ends_with('\r')) rest.remove_suffix(1);
        field += rest; // behind a quote's end there should be nothing
        row.push_back(std::move(field));
        at = end + 1;
        if (end < text.size() && text[end] == ',') {
            if (at == text.size()) row.emplace_back(); // the file ends behind a comma
            continue;
        }
        ++line;
        end_row();
    }
    if (!row.empty()) end_row();
    return rows;
}

} // namespace tnl::corpus
