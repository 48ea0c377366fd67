// What is written of documents that do not stay.
#pragma once

#include "corpus/io/record.h"
#include "corpus/rules/verdict.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tnl::corpus {

// Why; all of the record with why; nothing.
enum class Dropped { reasons, records, none };
std::vector<std::pair<std::string_view, Dropped>> enum_names(Dropped);

// A line of JSON, newline included:
//   {"id": ..., "index": of the file's records, "bytes": of its text, "step": ..., "rule": ...,
//    "value": what was measured, "threshold": the bound, "detail": what was found, where there is}
// or the record with the last of these in a field "dropped" of its own.
void append_dropped(std::string& out, const Record& record, std::string_view step,
                    const Verdict& verdict, Dropped what);

} // namespace tnl::corpus
