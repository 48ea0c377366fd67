// The items of a benchmark: questions and their answers, as JSONL or CSV.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

struct BenchmarkItem {
    std::string query;               // empty where there is none
    std::vector<std::string> labels; // as many as BenchmarkFields::labels
};

struct BenchmarkFields {
    std::string query;
    std::vector<std::string> labels;
    // Of a CSV file without a line of names: those of its columns. Empty: its first line has them.
    std::vector<std::string> columns;
};

// Plain, .gz or .zst. In CSV (RFC 4180) an answer that is the name of a column stands for what is
// there: "B" of MMLU's last column for the text of its column B. Throws naming file, line and what
// is wanted.
void read_items(const std::filesystem::path& file, const BenchmarkFields& fields,
                const std::function<void(const BenchmarkItem&)>& take);

// Rows of CSV: fields parted by commas; in quotes also commas, line ends and "" for a quote. A line
// ends with LF or CRLF; blank ones are none. `place` is what errors name.
std::vector<std::vector<std::string>> parse_csv(std::string_view text, const std::string& place);

} // namespace tnl::corpus
