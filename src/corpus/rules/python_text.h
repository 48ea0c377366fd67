// Python's str methods on UTF-8, as the rules were written with them. Texts must be valid UTF-8.
#pragma once

#include "corpus/words/characters.h"

#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

std::string_view strip(std::string_view text);       // str.strip()
std::string_view strip_left(std::string_view text);  // str.lstrip()
std::string_view strip_right(std::string_view text); // str.rstrip()

// str.splitlines(): ends are \n, \r, \r\n, \v, \f, U+001C to U+001E, U+0085, U+2028, U+2029.
void split_lines(std::string_view text, std::vector<std::string_view>& lines);
// str.split("\n").
void split_newlines(std::string_view text, std::vector<std::string_view>& lines);
// re.split("\n{least,}", text).
void split_newline_runs(std::string_view text, size_t least, std::vector<std::string_view>& parts);
// At most as many as len(str.split()): pieces between ASCII white space.
size_t count_pieces(std::string_view text);

// str.lower(), special casings of Unicode included.
void to_lower(std::string_view text, std::string& out);
// str.count(what); what is not empty.
size_t count_of(std::string_view text, std::string_view what);
// The bits (characters.h) of the last character; 0 for an empty text.
uint32_t last_bits(std::string_view text);

} // namespace tnl::corpus
