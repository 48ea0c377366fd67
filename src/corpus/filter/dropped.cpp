#include "corpus/filter/dropped.h"

#include <fmt/format.h>

#include <iterator>

namespace tnl::corpus {
namespace {

// {"step": ..., "rule": ..., "value": ..., "threshold": ...} without its braces.
void append_reason(std::string& out, std::string_view step, const Verdict& verdict) {
    fmt::format_to(std::back_inserter(out),
                   R"("step": "{}", "rule": "{}", "value": {}, "threshold": {})", step,
                   verdict.rule, verdict.value, verdict.threshold);
    if (verdict.detail.empty()) return;
    out += ", \"detail\": ";
    append_json_string(out, verdict.detail);
}

} // namespace

std::vector<std::pair<std::string_view, Dropped>> enum_names(Dropped) {
    return {{"reasons", Dropped::reasons}, {"records", Dropped::records}, {"none", Dropped::none}};
}

void append_dropped(std::string& out, const Record& record, std::string_view step,
                    const Verdict& verdict, Dropped what) {
    if (what == Dropped::none) return;
    if (what == Dropped::reasons) {
        out += "{\"id\": ";
        append_json_string(out, record.id);
        fmt::format_to(std::back_inserter(out), ", \"index\": {}, \"bytes\": {}, ", record.index,
                       record.text.size());
        append_reason(out, step, verdict);
        out += "}\n";
        return;
    }
    out += record.before;
    out += record.text_json;
    out.append(record.after, 0, record.after.rfind('}'));
    out += ", \"dropped\": {";
    append_reason(out, step, verdict);
    out += "}}\n";
}

} // namespace tnl::corpus
