// Documents as tokens, each with whether it is to be learned.
#pragma once

#include "text/reader.h"
#include "text/tokenizer.h"

namespace tnl {

struct EncodedText {
    std::vector<int32_t> ids;
    std::vector<uint8_t> learned; // 1 or 0 for each of ids; empty: all are to be learned
};

// The tokens of the text, without bos and eos. Of an instruction those whose last byte is in a span
// to be learned are: the space before a reply's first word is part of the word's token.
EncodedText encode_text(const Tokenizer& tokenizer, const DocumentText& document);

} // namespace tnl
