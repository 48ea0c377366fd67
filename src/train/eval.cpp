#include "train/eval.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tnl {

double EvalResult::perplexity() const { return std::exp(loss); }

EvalResult evaluate(Learner& learner, BatchSource& source, int64_t batches, int64_t rows) {
    source.seek({source.state().seed, 0, 0});
    const int64_t all = source.rows_per_epoch();
    const int64_t wanted = batches == 0 ? all : std::min(all, batches * rows);
    EvalResult result;
    double nats = 0;
    TokenRows batch;
    // A sample may hold only what is masked: read on, then.
    for (int64_t done = 0; done < wanted || (result.tokens == 0 && done < all); done += rows) {
        source.next(rows, batch);
        // Rows past the end are the next epoch's first: read, as the shape is fixed, not counted.
        if (const int64_t left = (done < wanted ? wanted : all) - done; left < rows) {
            const auto length = static_cast<int64_t>(batch.targets.size()) / rows;
            std::fill(batch.targets.begin() + left * length, batch.targets.end(), -1);
        }
        nats += learner.loss_sum(batch);
        result.tokens += std::count_if(batch.targets.begin(), batch.targets.end(),
                                       [](int32_t target) { return target >= 0; });
    }
    if (result.tokens == 0) return result;
    result.loss = nats / static_cast<double>(result.tokens);
    if (const double bytes = source.bytes_per_token(); bytes > 0)
        result.bits_per_byte = result.loss / std::numbers::ln2 / bytes;
    return result;
}

} // namespace tnl
