#include "ops/loss/loss.h"
#include "ops/simd/simd.h"
#include "ops/spans.h"

namespace tnl::fast {

void cross_entropy(Stream& stream, Tensor loss_, Tensor logits_, Tensor targets_, bool gradient,
                   float scale) {
    if (logits_.dtype == DType::f64)
        return oracle::cross_entropy(stream, loss_, logits_, targets_, gradient, scale);
    check_cross_entropy(loss_, logits_, targets_);
    dispatch_f32_bf16(logits_.dtype, [&]<class S>() {
        const auto logits = rows_of<S>(logits_, "logits");
        auto* loss = loss_.as<float>();
        const auto* targets = targets_.as<int32_t>();
        const int64_t V = logits.cols;
        stream.threads->parallel_for(logits.count, row_grain(V), [&](int64_t begin, int64_t end) {
            for (int64_t n = begin; n < end; ++n) {
                if (targets[n] >= 0) {
                    loss[n] = loops<S>().cross_entropy(logits[n], V, targets[n], gradient, scale);
                } else {
                    loss[n] = 0;
                    if (gradient) std::fill(logits[n], logits[n] + V, S(0.0f));
                }
            }
        });
    });
}

} // namespace tnl::fast
