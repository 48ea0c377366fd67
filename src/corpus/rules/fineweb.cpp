#include "corpus/rules/fineweb.h"

#include "corpus/rules/python_text.h"

#include <algorithm>
#include <utility>

namespace tnl::corpus {

Verdict check(const FineWebQuality& rules, DocumentView& document, Repeats& repeats) {
    const std::string_view text = document.text();
    std::vector<std::string_view> lines;
    split_newlines(text, lines);
    const auto newlines = static_cast<double>(lines.size() - 1);
    std::erase_if(lines, [](std::string_view line) { return strip_left(line).empty(); });
    if (lines.empty()) return Verdict::dropped("empty", 0, 0);
    const auto all = static_cast<double>(lines.size());
    const auto share = [&](auto is) {
        return static_cast<double>(std::count_if(lines.begin(), lines.end(), is)) / all;
    };
    const double ended =
        share([](std::string_view line) { return (last_bits(line) & kTerminal) != 0; });
    if (ended < rules.line_punct_thr && !(ended == 0 && rules.line_punct_exclude_zero))
        return Verdict::dropped("line_punct_ratio", ended, rules.line_punct_thr);
    const double short_lines = share([&](std::string_view line) {
        return std::cmp_less_equal(count_characters(line), rules.short_line_length);
    });
    if (short_lines > rules.short_line_thr)
        return Verdict::dropped("short_line_ratio", short_lines, rules.short_line_thr);
    const double repeated = static_cast<double>(repeats.duplicates(lines).characters) /
                            (static_cast<double>(document.characters()) - newlines);
    if (repeated > rules.char_duplicates_ratio)
        return Verdict::dropped("char_dup_ratio", repeated, rules.char_duplicates_ratio);
    // There are no fewer words than pieces of text between spaces, which are found sooner.
    if (newlines / static_cast<double>(count_pieces(text)) <= rules.new_line_ratio)
        return Verdict::kept();
    const double list = newlines / static_cast<double>(document.words().size());
    if (list > rules.new_line_ratio)
        return Verdict::dropped("list_ratio", list, rules.new_line_ratio);
    return Verdict::kept();
}

} // namespace tnl::corpus
