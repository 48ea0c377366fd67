// What the generator and the engine have in common: sequences under way, one in each of a session's
// first slots, a token of each at a time.
#pragma once

#include "infer/generator.h"
#include "infer/token_grammar.h"

#include <optional>
#include <string>

namespace tnl {

// A token, and how probable the model found it: ln p after softmax, before the sampler's steps.
struct ScoredToken {
    int32_t token = 0;
    float logprob = 0;
    std::vector<std::pair<int32_t, float>> top; // the likeliest tokens, best first
};

struct Sequence {
    // The request outlives this. index: of several sequences that continue one prompt.
    Sequence(const GenerateRequest& of, int64_t vocab_size, int64_t index = 0);

    const GenerateRequest* request;
    int64_t index;
    SeenTokens seen;
    bool scored = false; // newest's log-probability is wanted, and those of the `top` likeliest
    int64_t top = 0;
    TokenGrammar* grammar = nullptr; // begin() when it is set
    TokenGrammar::Places places{};   // where it stands
    ScoredToken newest{};            // chosen, and not yet counted or not yet read by the model
    int64_t made = 0;                // tokens taken
    bool done = false;
    std::string fault{}; // why no token could be chosen

    // Whether all that is wanted of the logits is where the largest is.
    bool takes_the_largest() const;
    // Whether the newest token alone is wanted of them, of all tokens.
    bool wants_a_token() const { return !scored && grammar == nullptr; }
    // Of all that the model has read and will read next, the index of the token to be chosen.
    uint64_t position() const;
    // What its tokens are drawn by.
    uint64_t id() const { return request->id + static_cast<uint64_t>(index); }
    // Counts the newest token, unless it is an end token; on_token says whether to go on. The
    // reason where the sequence ends.
    std::optional<Finish> take_newest(const std::function<bool(const ScoredToken&)>& on_token);
};

using SequencePointers = std::vector<Sequence*>;

// Chooses newest of each from the session's logits, all of row rows[i]; or it is chosen[i], where
// that is none of -1.
void choose_newest(Session& session, const SequencePointers& sequences,
                   std::span<const int64_t> rows, std::span<const int32_t> chosen = {});
// The model reads newest of the sequences, which have slots 0, 1, ...; then the next is chosen.
void decode_step(Session& session, const SequencePointers& sequences);

// Sequences that are done leave; the last one takes the place of each, and its slot.
template <class S> void drop_done(Session& session, std::vector<S>& running) {
    for (size_t i = 0; i < running.size();) {
        if (!running[i].done) {
            ++i;
            continue;
        }
        const size_t last = running.size() - 1;
        if (i != last) {
            session.move(static_cast<int64_t>(i), static_cast<int64_t>(last));
            running[i] = std::move(running[last]);
        }
        running.pop_back();
    }
}

template <class S> SequencePointers pointers_to(std::vector<S>& running, size_t first = 0) {
    SequencePointers out;
    for (size_t i = first; i < running.size(); ++i) out.push_back(&running[i]);
    return out;
}

} // namespace tnl
