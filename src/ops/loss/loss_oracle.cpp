#include "ops/loss/loss.h"
#include "ops/rows.h"

#include <algorithm>

namespace tnl {

void check_cross_entropy(const Tensor& loss, const Tensor& logits, const Tensor& targets) {
    const auto [N, V] = logits.dims<2>("logits");
    check_dtype(loss, accumulator_dtype(logits.dtype), "loss");
    TNL_CHECK(loss.is({N}) && loss.contiguous(), "loss has shape {}, wanted [{}]",
              loss.shape_string(), N);
    TNL_CHECK(targets.is({N}) && targets.dtype == DType::i32, "targets are {} {}, wanted i32 [{}]",
              name_of(targets.dtype), targets.shape_string(), N);
    const auto* t = targets.as<int32_t>();
    for (int64_t n = 0; n < N; ++n)
        TNL_CHECK(t[n] < V, "target {} of row {} is not below the vocabulary's {}", t[n], n, V);
}

namespace oracle {

void cross_entropy(Stream&, Tensor loss_, Tensor logits_, Tensor targets_, bool gradient,
                   float scale) {
    check_cross_entropy(loss_, logits_, targets_);
    dispatch_float(logits_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto logits = rows_of<T>(logits_, "logits");
        A* loss = loss_.as<A>();
        const auto* targets = targets_.as<int32_t>();
        for (int64_t n = 0; n < logits.count; ++n) {
            T* row = logits[n];
            if (targets[n] < 0) {
                loss[n] = 0;
                if (gradient) std::fill(row, row + logits.cols, T(A(0)));
                continue;
            }
            A max = row[0], sum = 0;
            for (int64_t v = 1; v < logits.cols; ++v) max = std::max(max, A(row[v]));
            for (int64_t v = 0; v < logits.cols; ++v) sum += std::exp(A(row[v]) - max);
            loss[n] = std::log(sum) - (A(row[targets[n]]) - max);
            if (!gradient) continue;
            for (int64_t v = 0; v < logits.cols; ++v) {
                const A hit = v == targets[n] ? A(1) : A(0);
                row[v] = T(static_cast<A>(scale) * (std::exp(A(row[v]) - max) / sum - hit));
            }
        }
    });
}

} // namespace oracle
} // namespace tnl
