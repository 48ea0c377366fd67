// Choosing the next token from logits [V]: pure functions, no state between calls. The order and
// meaning of the steps are those of Hugging Face generation, so that a generation_config.json means
// the same here, and those of ops/sample/sample.h, so that a GPU chooses the same.
// The number drawn is Philox(seed, request).uniform(position): a request's tokens do not depend on
// what else is in the batch, nor on the thread count.
#pragma once

#include "ops/sample/sample.h"

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tnl {

struct SamplerOptions {
    double temperature = 1;        // >= 0; 0 is greedy: the largest logit, the lower id on a tie
    int64_t top_k = 0;             // keep the k largest; 0: all
    double top_p = 1;              // keep the fewest that reach this probability, in (0, 1]; 1: all
    double min_p = 0;              // drop those below min_p times the largest, in [0, 1]
    double repetition_penalty = 1; // > 0: logits of seen tokens are divided (if positive) or
                                   // multiplied (if negative) by it
    double presence_penalty = 0;   // in [-2, 2]: taken from the logit of every token made so far,
    double frequency_penalty = 0;  // and this as often as it was made (the prompt does not count)
    std::vector<std::pair<int32_t, float>> logit_bias; // added to the logits of these tokens
    uint64_t seed = 0;

    // Whether the choice is the largest logit as it is.
    bool plainly_greedy() const;
    // Throws UsageError naming the field, its value and its range.
    void validate() const;
};

// A token of the continuation, and how often it was made.
struct MadeToken {
    int32_t token = 0;
    int64_t count = 0;
};

// The tokens of one sequence, prompt and continuation, each once.
class SeenTokens {
  public:
    explicit SeenTokens(int64_t vocab_size) : seen_(static_cast<size_t>(vocab_size), false) {}
    void add(int32_t token);      // of the prompt
    void add_made(int32_t token); // of the continuation
    std::span<const int32_t> list() const { return list_; }
    std::span<const MadeToken> made() const { return made_; }

  private:
    std::vector<bool> seen_;
    std::vector<int32_t> list_; // in order of first appearance
    std::vector<MadeToken> made_;
    std::unordered_map<int32_t, size_t> made_at_;
};

// The tokens of a vocabulary that may be chosen.
class TokenMask {
  public:
    explicit TokenMask(int64_t vocab_size) : bits_(static_cast<size_t>(vocab_size), false) {}
    void allow(int32_t token) { bits_[static_cast<size_t>(token)] = true; }
    bool allows(int32_t token) const { return bits_[static_cast<size_t>(token)]; }

  private:
    std::vector<bool> bits_;
};

// The same as Kernels::sample wants it, but for the number drawn: adds to `changes`.
TokenChoice token_choice(const SamplerOptions& options, std::span<const int32_t> seen,
                         std::span<const MadeToken> made, std::vector<TokenChange>& changes);
// The number drawn for the token of `request` at `position`, from [0, 1).
double drawn_number(const SamplerOptions& options, uint64_t request, uint64_t position);

struct Candidate {
    int32_t token = 0;
    double p = 0;
};

// The distribution that is drawn from: the tokens left after every step, in the order of their ids,
// with probabilities that sum to 1; those below about 2^-44 of the largest are 0, and left out.
// Throws where a
// logit is NaN or +infinity, or where none is above -infinity. mask: tokens that it does not allow
// are as if their logits were -infinity; null: all may be chosen.
std::vector<Candidate> token_distribution(std::span<const float> logits,
                                          const SamplerOptions& options,
                                          std::span<const int32_t> seen,
                                          std::span<const MadeToken> made = {},
                                          const TokenMask* mask = nullptr);

// The next token of `request` at `position` (the index of the new token in its sequence).
int32_t sample_token(std::span<const float> logits, const SamplerOptions& options,
                     std::span<const int32_t> seen, uint64_t request, uint64_t position,
                     std::span<const MadeToken> made = {}, const TokenMask* mask = nullptr);

} // namespace tnl
