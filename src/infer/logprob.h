// How probable a model finds a token.
#pragma once

#include "infer/sequence.h"

#include <span>

namespace tnl {

// ln softmax(logits)[token] and the `top` likeliest tokens, the lower id first on a tie. logits
// [V].
ScoredToken score_token(std::span<const float> logits, int32_t token, int64_t top);

} // namespace tnl
