// The loss on held-out data.
#pragma once

#include "train/learner.h"

namespace tnl {

struct EvalResult {
    double loss = 0;          // nats per token
    int64_t tokens = 0;       // predicted, of those that count
    double bits_per_byte = 0; // 0 where the bytes of the text are not known
    double perplexity() const;
};

// Loss over the first `batches` micro-batches of `rows` rows (0: one pass over the source), the
// same ones every time. Leaves weights, gradients and optimizer as they are. Bits per byte take the
// bytes of a token to be those of the source's average token.
EvalResult evaluate(Learner& learner, BatchSource& source, int64_t batches, int64_t rows);

} // namespace tnl
