// What a benchmark found: facts of the run and rows of numbers, printed for people or programs.
#pragma once

#include "base/json.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tnl {

struct BenchReport {
    Json facts = Json::object(); // device, sizes, totals
    std::vector<Json> rows;      // objects with the same keys in the same order
};

enum class BenchFormat { text, csv, json };
inline std::vector<std::pair<std::string_view, BenchFormat>> enum_names(BenchFormat) {
    return {{"text", BenchFormat::text}, {"csv", BenchFormat::csv}, {"json", BenchFormat::json}};
}

// text: facts one a line, rows as a table. csv: rows alone, with a header. json: one object.
// Numbers have the units that their keys name. Prints to stdout.
void print_report(const BenchReport& report, BenchFormat format);
// What format csv prints.
std::string csv_of(const std::vector<Json>& rows);

// VmRSS of this process, bytes; 0 where the system does not tell.
int64_t resident_bytes();

} // namespace tnl
