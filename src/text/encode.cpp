#include "text/encode.h"

namespace tnl {

EncodedText encode_text(const Tokenizer& tokenizer, const DocumentText& document) {
    EncodedText out;
    if (!document.instruct) {
        out.ids = tokenizer.encode(document.text);
        return out;
    }
    auto span = document.learned.begin();
    const auto end = document.learned.end();
    for (const Tokenizer::Token& token : tokenizer.encode_tokens(document.text)) {
        const size_t last = token.end > token.begin ? token.end - 1 : token.begin;
        while (span != end && span->end <= last) ++span;
        out.ids.push_back(token.id);
        out.learned.push_back(span != end && span->begin <= last ? 1 : 0);
    }
    return out;
}

} // namespace tnl
