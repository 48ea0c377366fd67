// Sets of characters, as ranges of code points.
#pragma once

#include <span>

namespace tnl::corpus {

struct CodeRange {
    char32_t first, last;
};

// spaCy 3.8, lang/char_classes.py.
std::span<const CodeRange> cased_letters();   // ALPHA, without:
std::span<const CodeRange> uncased_letters(); // letters that count as lower and as upper case
std::span<const CodeRange> icons();           // LIST_ICONS
// datatrove, utils/text.py: TERMINAL_PUNCTUATION, and what of it spaCy's sentencizer does not know.
std::span<const CodeRange> terminal_punctuation();
std::span<const CodeRange> terminal_not_of_sentences();

} // namespace tnl::corpus
