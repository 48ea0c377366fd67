#include "cli/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

namespace tnl {
namespace {

// Five significant digits for people, all of them for programs.
std::string cell(const Json& value, bool exact) {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number_float())
        return exact ? value.dump() : fmt::format("{:.5g}", value.get<double>());
    return value.dump();
}

std::string csv_cell(const Json& value) {
    std::string text = cell(value, true);
    if (text.find_first_of(",\"\n") == std::string::npos) return text;
    for (size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2)
        text.insert(at, 1, '"');
    return '"' + text + '"';
}

void print_text(const BenchReport& report) {
    size_t width = 0;
    for (const auto& [key, value] : report.facts.items()) width = std::max(width, key.size());
    for (const auto& [key, value] : report.facts.items())
        fmt::print("{:<{}}  {}\n", key, width, cell(value, false));
    if (report.rows.empty()) return;
    std::vector<size_t> widths;
    for (const auto& [key, value] : report.rows.front().items()) widths.push_back(key.size());
    for (const Json& row : report.rows) {
        size_t i = 0;
        for (const auto& [key, value] : row.items()) {
            widths[i] = std::max(widths[i], cell(value, false).size());
            ++i;
        }
    }
    fmt::print("\n");
    size_t i = 0;
    for (const auto& [key, value] : report.rows.front().items())
        fmt::print("{:>{}}  ", key, widths[i++]);
    fmt::print("\n");
    for (const Json& row : report.rows) {
        i = 0;
        for (const auto& [key, value] : row.items())
            fmt::print("{:>{}}  ", cell(value, false), widths[i++]);
        fmt::print("\n");
    }
}

} // namespace

std::string csv_of(const std::vector<Json>& rows) {
    std::string out, line;
    if (rows.empty()) return out;
    for (const auto& [key, value] : rows.front().items()) line += (line.empty() ? "" : ",") + key;
    out = line + '\n';
    for (const Json& row : rows) {
        line.clear();
        for (const auto& [key, value] : row.items())
            line += (line.empty() ? "" : ",") + csv_cell(value);
        out += line + '\n';
    }
    return out;
}

void print_report(const BenchReport& report, BenchFormat format) {
    if (format == BenchFormat::csv) return fmt::print("{}", csv_of(report.rows));
    if (format == BenchFormat::text) return print_text(report);
    Json out = report.facts;
    out["rows"] = report.rows;
    fmt::print("{}\n", out.dump(2));
}

int64_t resident_bytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6)) * 1024;
    return 0;
}

} // namespace tnl
