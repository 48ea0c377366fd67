// States of beginnings of prompts, so that what many prompts share is read once. A state has the
// same size whatever it has seen; the least recently used ones go when the memory is full.
//
// Kept are multiples of the session's chunk, where prefill cuts every prompt anyway: a prompt that
// goes on from one has the bits of one that was read from its beginning. Of a long prompt only
// chunk * 2^k and the last multiple are kept.
#pragma once

#include "infer/session.h"

#include <list>
#include <memory>
#include <unordered_map>

namespace tnl {

class PrefixCache {
  public:
    // Holds at most `bytes` of states and tokens; 0: nothing.
    PrefixCache(Session& session, size_t bytes) : session_(session), capacity_(bytes) {}

    // Gives a slot the longest state kept of a beginning of `prompt` that leaves at least one token
    // to read; returns how many tokens that is, 0 where there is none (the slot is then empty).
    int64_t restore(int64_t slot, std::span<const int32_t> prompt);
    // Keeps the state of a slot that has seen the first `tokens` of the prompt, if it is one of
    // those kept.
    void keep(int64_t slot, std::span<const int32_t> prompt, int64_t tokens);

    size_t entries() const { return entries_.size(); }
    size_t bytes() const { return bytes_; }

  private:
    struct Entry {
        uint64_t hash;
        std::vector<int32_t> tokens; // all of them: equal hashes are no proof
        std::vector<OwnedTensor> layers;
        size_t bytes;
    };
    using Entries = std::list<Entry>; // the most recently used first
    Entries::iterator find(uint64_t hash, std::span<const int32_t> tokens);
    bool kept_at(int64_t tokens, int64_t prompt) const;

    Session& session_;
    size_t capacity_, bytes_ = 0;
    Entries entries_;
    std::unordered_map<uint64_t, Entries::iterator> by_hash_;
};

} // namespace tnl
