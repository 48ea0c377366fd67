#include "infer/stream_text.h"

namespace tnl {

StreamText::StreamText(const Tokenizer& tokenizer, std::vector<std::string> stops, bool after_text)
    : tokenizer_(tokenizer), filter_(std::move(stops)),
      drop_space_(!after_text && tokenizer.adds_leading_space()) {}

std::string StreamText::push(int32_t token) {
    if (stopped()) return {};
    std::string bytes = tokenizer_.token_bytes(token);
    if (drop_space_ && !bytes.empty()) {
        drop_space_ = false;
        if (bytes.front() == ' ') bytes.erase(0, 1);
    }
    return filter_.push(characters_.feed(bytes));
}

std::string StreamText::finish() {
    if (stopped()) return {};
    std::string out = filter_.push(characters_.finish());
    return stopped() ? out : out + filter_.finish();
}

} // namespace tnl
