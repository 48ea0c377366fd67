// Text as near-duplicates are sought in it: datatrove's simplify_text, character for character.
// In this order: lower case; numbers become 0; days of the week WEEKDAY, months MONTH (English);
// punctuation becomes spaces; white space becomes one space, none at the ends; canonical
// decomposition, and characters of category Mn go.
//
// Characters are as in ICU's version of Unicode. Python and its package regex have theirs: texts in
// scripts added in between may differ.
#pragma once

#include <string>
#include <string_view>

namespace tnl::corpus {

struct SimplifyOptions {
    bool lowercase = true;
    bool numbers = true;
    bool weekdays = false;
    bool months = false;
    bool punctuation = true;
    bool whitespace = true;
    bool diacritics = true;
    bool operator==(const SimplifyOptions&) const = default;
};

// `text` is UTF-8. Replaces `out`.
void simplify(std::string_view text, std::string& out, const SimplifyOptions& options = {});

// Step by step, with any options: what simplify falls back to, and is tested against.
void simplify_plain(std::string_view text, std::string& out, const SimplifyOptions& options = {});

} // namespace tnl::corpus
