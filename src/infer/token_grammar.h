// A grammar over bytes as a choice among tokens: which of a vocabulary may come next, so that the
// text can still become one of the grammar's.
#pragma once

#include "infer/grammar.h"
#include "infer/sampler.h"
#include "text/tokenizer.h"

#include <memory>
#include <mutex>

namespace tnl {

// The bytes of a vocabulary's tokens, sorted.
class TokenTable {
  public:
    explicit TokenTable(const Tokenizer& tokenizer);

  private:
    friend class TokenGrammar;
    struct Entry {
        std::string bytes;
        int32_t id;
        uint32_t shared; // bytes that it begins with as the one before it does
    };
    static void sort(std::vector<Entry>& entries);
    std::vector<Entry> all_;
    // Whole characters of strings in JSON, none of them to be escaped; and the others.
    std::vector<int32_t> plain_;
    std::vector<Entry> rest_;
    std::vector<std::string> bytes_; // by id
};

// From any thread.
class TokenGrammar {
  public:
    // end_tokens may come where the text may end. vocab: the model's, at least the tokenizer's.
    TokenGrammar(GrammarWalk walk, std::shared_ptr<const TokenTable> tokens,
                 std::vector<int32_t> end_tokens, int64_t vocab);

    using Places = GrammarWalk::Places;
    Places begin();
    // The tokens that may come next; none only where bytes that must come are no tokens.
    std::shared_ptr<const TokenMask> mask(const Places& places);
    // After a token; end tokens change nothing. Throws where it may not come.
    void advance(Places& places, int32_t token);
    // Whether the text is whole and cannot go on.
    bool finished(const Places& places);
    // Whether so many stacks are known that a new one had better take this one's place.
    bool worn();

  private:
    struct Hash {
        size_t operator()(const Places& places) const;
    };
    void allow(const std::vector<TokenTable::Entry>& entries, const Places& from, TokenMask& out);
    std::mutex mutex_;
    GrammarWalk walk_; // under mutex_
    std::shared_ptr<const TokenTable> tokens_;
    std::vector<int32_t> end_tokens_;
    int64_t vocab_;
    std::unordered_map<Places, std::shared_ptr<const TokenMask>, Hash> masks_; // under mutex_
};

} // namespace tnl
