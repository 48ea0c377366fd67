#include "ops/norm/norm.h"
#include "ops/simd/simd.h"
#include "ops/spans.h"

namespace tnl::fast {

void norm_forward(Stream& stream, Tensor h_, Tensor y_, Tensor stats_, Tensor x_, Tensor delta_,
                  NormKind kind, NormWeights weights, float eps) {
    if (x_.dtype == DType::f64)
        return oracle::norm_forward(stream, h_, y_, stats_, x_, delta_, kind, weights, eps);
    check_norm_forward(h_, y_, stats_, x_, delta_, kind, weights);
    dispatch_f32_bf16(x_.dtype, [&]<class S>() {
        const auto h = rows_of<S>(h_, "h"), y = rows_of<S>(y_, "y"), x = rows_of<S>(x_, "x");
        const auto delta = rows_of<S>(delta_, "delta");
        const auto stats = rows_of<float>(stats_, "stats");
        const int64_t C = x.cols;
        const S* w = kind == NormKind::srms ? nullptr : vector_of<S>(weights.weight, C, "weight");
        const S* b = kind == NormKind::layer ? vector_of<S>(weights.bias, C, "bias") : nullptr;
        stream.threads->parallel_for(x.count, row_grain(C), [&](int64_t begin, int64_t end) {
            for (int64_t n = begin; n < end; ++n)
                loops<S>().norm_forward(
                    {h.data ? h[n] : nullptr, y[n], stats.data ? stats[n] : nullptr, x[n],
                     delta.data ? delta[n] : nullptr, w, b, C, kind == NormKind::layer, eps});
        });
    });
}

void norm_backward(Stream& stream, Tensor dx_, NormWeights dweights, Tensor dy_, Tensor x_,
                   Tensor stats_, NormKind kind, NormWeights weights, bool accumulate) {
    if (x_.dtype == DType::f64)
        return oracle::norm_backward(stream, dx_, dweights, dy_, x_, stats_, kind, weights,
                                     accumulate);
    check_norm_backward(dx_, dweights, dy_, x_, stats_, kind, weights);
    dispatch_f32_bf16(x_.dtype, [&]<class S>() {
        const auto dx = rows_of<S>(dx_, "dx"), dy = rows_of<S>(dy_, "dy"), x = rows_of<S>(x_, "x");
        const auto stats = rows_of<float>(stats_, "stats");
        const int64_t C = x.cols;
        const bool weighted = kind != NormKind::srms;
        const S* w = weighted ? vector_of<S>(weights.weight, C, "weight") : nullptr;
        float* dw = weighted ? vector_of<float>(dweights.weight, C, "dweight") : nullptr;
        float* db = kind == NormKind::layer ? vector_of<float>(dweights.bias, C, "dbias") : nullptr;
        // Before dx, which may be dy itself.
        if (dw)
            column_sums<2>(*stream.threads, {dw, db}, x.count, C,
                           [&](float* part, int64_t n, int64_t c, int64_t count) {
                               loops<S>().norm_dweights(part, db ? part + kColumnChunk : nullptr,
                                                        dy[n] + c, x[n] + c, count, stats[n][0],
                                                        stats[n][1]);
                           });
        stream.threads->parallel_for(x.count, row_grain(C), [&](int64_t begin, int64_t end) {
            for (int64_t n = begin; n < end; ++n)
                loops<S>().norm_backward({dx[n], dy[n], x[n], w, C, kind == NormKind::layer,
                                          accumulate, stats[n][0], stats[n][1]});
        });
    });
}

} // namespace tnl::fast
