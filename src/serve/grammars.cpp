#include "serve/grammars.h"

#include "infer/json_grammar.h"

#include <algorithm>

namespace tnl {

std::shared_ptr<TokenGrammar> Grammars::find(const Json& schema) {
    std::string text = schema.dump();
    const std::lock_guard lock(mutex_);
    const auto known = std::ranges::find(entries_, text, &Entry::schema);
    if (known != entries_.end() && !known->grammar->worn()) {
        entries_.splice(entries_.begin(), entries_, known);
        return known->grammar;
    }
    GrammarWalk walk = json_schema_grammar(schema);
    if (!tokens_) tokens_ = std::make_shared<TokenTable>(loaded_.tokenizer);
    auto grammar = std::make_shared<TokenGrammar>(std::move(walk), tokens_, end_tokens_,
                                                  loaded_.model.config().vocab_size);
    if (known != entries_.end()) entries_.erase(known);
    entries_.push_front({std::move(text), grammar});
    if (entries_.size() > kMost) entries_.pop_back();
    return grammar;
}

} // namespace tnl
