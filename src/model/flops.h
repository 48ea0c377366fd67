// Operations of the model's arithmetic, multiplications and additions each one: what utilisation is
// counted in.
#pragma once

#include "model/model.h"

namespace tnl {

struct ModelFlops {
    double weights = 0;   // elements of the matrices that are multiplied with, adapters apart
    double adapters = 0;  // of adapters
    double attention = 0; // operations of a token: k^T v and q S 2 D E each, a head; of softmax
                          // attention q k^T and p v 2 D each, a head and token seen
    double forward() const { return 2 * (weights + adapters) + attention; } // of a token
};
// length: tokens of a sequence, which only softmax attention depends on.
ModelFlops model_flops(const Model& model, int64_t length);

} // namespace tnl
