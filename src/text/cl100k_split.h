// The pieces that text is cut into before byte pairs are merged, as the vocabulary of 100,256
// tokens that TransNormerLLM-15B has wants it. They are the matches, left to right, of
//   (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N}{1,3} | ?[^\s\p{L}\p{N}]+[\r\n]*
//   | \s*[\r\n]+ | \s+(?!\S) | \s+
// (the fourth begins with an optional space). Every text is covered.
#pragma once

#include <cstddef>
#include <string_view>

namespace tnl {

// The end of the piece that begins at `begin` < text.size(). Bytes that are no UTF-8 count as
// characters that are neither letters, numbers nor spaces.
size_t cl100k_piece_end(std::string_view text, size_t begin);

} // namespace tnl
