// Tokens and their log-probabilities in the two shapes of OpenAI's API.
#pragma once

#include "base/json.h"
#include "infer/engine.h"
#include "text/tokenizer.h"

namespace tnl {

// A token's own text; "bytes:\xe2\x82" where it is not whole characters, and the name of a special
// token, which has no text ("<s>").
std::string token_name(const Tokenizer& tokenizer, int32_t id);

// Collects the tokens of one text in order.
class Logprobs {
  public:
    // drop_space: the text begins here, so that the first token's leading space is not part of it.
    Logprobs(const Tokenizer& tokenizer, int64_t top, bool drop_space)
        : tokenizer_(&tokenizer), top_(top), drop_space_(drop_space) {}

    void add_unscored(int32_t token); // the first of a prompt: nothing precedes it
    void add(const ScoredToken& scored);

    // What was added since the last take: {"tokens", "token_logprobs", "top_logprobs",
    // "text_offset"}, offsets in characters; and {"content": [{"token", "logprob", "bytes",
    // "top_logprobs"}]}. The token chosen is always in its top_logprobs of the first kind. Of
    // tokens with the same name the likeliest counts.
    Json take_completion();
    Json take_chat();

  private:
    struct Entry {
        ScoredToken scored;
        bool has_score;
    };
    std::string named(int32_t token); // the next token of the text
    const Tokenizer* tokenizer_;
    int64_t top_;
    bool drop_space_;
    int64_t offset_ = 0;
    std::vector<Entry> entries_;
};

} // namespace tnl
