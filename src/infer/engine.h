// Serves requests that come and go at any time, on one session: a thread of its own admits them as
// slots come free, reads their prompts in pieces between the steps of the others, and decodes all
// that are under way as one batch. A request's tokens do not depend on its neighbours, nor on
// whether the beginning of its prompt was found in the cache of prefixes. (In bf16 on the CPU, and
// on a GPU, the order of a sum may change with the number of sequences in the batch, so there a
// text may part from its twin where two tokens are nearly as likely.)
#pragma once

#include "infer/sequence.h"

#include <memory>
#include <string>

namespace tnl {

struct EngineRequest {
    // prompt, max_new_tokens (0: the prompt is only read), end_tokens, sampler, id. Of several
    // sequences, number i draws as request id + i.
    GenerateRequest generate;
    int64_t sequences = 1;        // continuations of the prompt, which is read once
    bool logprobs = false;        // of the new tokens; otherwise ScoredToken::logprob is 0
    bool prompt_logprobs = false; // of the prompt's tokens
    int64_t top = 0;              // length of ScoredToken::top where logprobs are wanted
    // What the new text must be of; null: any. A sequence whose text is whole and cannot go on ends
    // as by an end token.
    std::shared_ptr<TokenGrammar> grammar{};
};

// Called on the engine's thread, and so to return soon; none may call the engine but cancel().
struct EngineEvents {
    // Before any token, where prompt_logprobs is set: one for each token of the prompt but the
    // first.
    std::function<void(std::vector<ScoredToken>)> prompt;
    // A new token; false ends that sequence after it (Finish::stopped).
    std::function<bool(int64_t sequence, const ScoredToken&)> token;
    std::function<void(int64_t sequence, Finish)> finish;
    // Instead of every finish() still due. Not called after cancel().
    std::function<void(const std::string& message)> failed;
};

// The queue is full, or the engine is draining: to be tried again later.
class Busy : public Error {
    using Error::Error;
};

class Engine {
  public:
    struct Options {
        size_t queue = 1024;           // requests waiting for a slot, at most
        size_t prefix_cache_bytes = 0; // memory for states of beginnings of prompts; 0: none
    };
    // session must outlive this; it and its device are the engine's alone meanwhile.
    Engine(Session& session, Options options);
    ~Engine(); // what is under way is cancelled
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    using Ticket = uint64_t;
    // From any thread. Throws Busy, and Error or UsageError where the request itself is wrong (no
    // tokens, ids out of range, more sequences than slots, sampler options).
    Ticket submit(EngineRequest request, EngineEvents events);
    // From any thread: the request's slots are free before the next step and, unless it is called
    // from one of them, no event of it runs after this returns. Tickets of the past are allowed.
    void cancel(Ticket ticket);
    // No request is taken any more; returns when those under way are done.
    void drain();

    struct Stats {
        int64_t waiting = 0, running = 0; // requests in the queue; sequences in slots
        int64_t slots = 0;
        int64_t requests = 0, cancelled = 0, failed = 0; // since the beginning
        int64_t prompt_tokens = 0, cached_prompt_tokens = 0, new_tokens = 0;
        int64_t steps = 0; // decode steps
        size_t prefix_cache_entries = 0, prefix_cache_bytes = 0;
        double busy_seconds = 0; // inside prefill and decode
    };
    Stats stats() const;

  private:
    class Loop;
    std::unique_ptr<Loop> loop_;
};

} // namespace tnl
