// Strings that spaCy's tokenizer splits in a way of their own: contractions, abbreviations,
// emoticons.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

namespace tnl::corpus {

// The string's pieces; together they are the string.
using SpecialCases = std::unordered_map<std::string, std::vector<std::string>>;

SpecialCases common_cases();  // spaCy 3.8, lang/tokenizer_exceptions.py: of all languages
SpecialCases english_cases(); // those and lang/en/tokenizer_exceptions.py

} // namespace tnl::corpus
