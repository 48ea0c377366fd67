// The grammars of JSON Schemas that requests bring, made once as long as they come again.
#pragma once

#include "infer/loaded_model.h"
#include "infer/token_grammar.h"

#include "base/json.h"

#include <list>
#include <mutex>

namespace tnl {

// From any thread.
class Grammars {
  public:
    // Both must outlive this; end_tokens are read when a grammar is made.
    Grammars(const LoadedModel& loaded, const std::vector<int32_t>& end_tokens)
        : loaded_(loaded), end_tokens_(end_tokens) {}
    // Throws UsageError naming the place in the schema that is wrong.
    std::shared_ptr<TokenGrammar> find(const Json& schema);

  private:
    struct Entry {
        std::string schema;
        std::shared_ptr<TokenGrammar> grammar;
    };
    static constexpr size_t kMost = 16;
    const LoadedModel& loaded_;
    const std::vector<int32_t>& end_tokens_;
    std::mutex mutex_;
    std::shared_ptr<const TokenTable> tokens_; // under mutex_; made with the first grammar
    std::list<Entry> entries_;                 // under mutex_; the most recently used first
};

} // namespace tnl
