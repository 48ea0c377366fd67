#include "ops/norm/norm.h"
#include "ops/rows.h"

namespace tnl {
namespace {

void check_weights(const NormWeights& w, NormKind kind, const Tensor& x, const char* what) {
    const int64_t C = x.cols();
    if (kind != NormKind::srms)
        TNL_CHECK(w.weight && w.weight.size() == C, "{} has shape {}, wanted [{}]", what,
                  w.weight.shape_string(), C);
    if (kind == NormKind::layer)
        TNL_CHECK(w.bias && w.bias.size() == C, "{} (bias) has shape {}, wanted [{}]", what,
                  w.bias.shape_string(), C);
}

} // namespace

void check_norm_forward(const Tensor& h, const Tensor& y, const Tensor& stats, const Tensor& x,
                        const Tensor& delta, NormKind kind, const NormWeights& weights) {
    check_same_shape(y, x, "y", "x");
    if (h) check_same_shape(h, x, "h", "x");
    if (delta) {
        check_same_shape(delta, x, "delta", "x");
        TNL_CHECK(h, "norm with delta needs h for the sum");
    }
    if (stats)
        TNL_CHECK(stats.is({x.rows(), 2}), "stats has shape {}, wanted [{}, 2]",
                  stats.shape_string(), x.rows());
    check_weights(weights, kind, x, "norm weight");
}

void check_norm_backward(const Tensor& dx, const NormWeights& dweights, const Tensor& dy,
                         const Tensor& x, const Tensor& stats, NormKind kind,
                         const NormWeights& weights) {
    check_same_shape(dx, x, "dx", "x");
    check_same_shape(dy, x, "dy", "x");
    TNL_CHECK(stats.is({x.rows(), 2}), "stats has shape {}, wanted [{}, 2]", stats.shape_string(),
              x.rows());
    check_weights(weights, kind, x, "norm weight");
    if (dweights.weight) check_weights(dweights, kind, x, "gradient of the norm weight");
}

namespace oracle {

void norm_forward(Stream&, Tensor h_, Tensor y_, Tensor stats_, Tensor x_, Tensor delta_,
                  NormKind kind, NormWeights weights, float eps) {
    check_norm_forward(h_, y_, stats_, x_, delta_, kind, weights);
    dispatch_float(x_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto h = rows_of<T>(h_, "h"), y = rows_of<T>(y_, "y"), x = rows_of<T>(x_, "x");
        const auto delta = rows_of<T>(delta_, "delta");
        const auto stats = rows_of<A>(stats_, "stats");
        const int64_t C = x.cols;
        const T* w = kind == NormKind::srms ? nullptr : vector_of<T>(weights.weight, C, "weight");
        const T* b = kind == NormKind::layer ? vector_of<T>(weights.bias, C, "bias") : nullptr;
        for (int64_t n = 0; n < x.count; ++n) {
            const T* row = x[n];
            if (h.data) {
                for (int64_t c = 0; c < C; ++c)
                    h[n][c] = delta.data ? T(A(x[n][c]) + A(delta[n][c])) : x[n][c];
                row = h[n];
            }
            A mean = 0, square = 0;
            if (kind == NormKind::layer) {
                for (int64_t c = 0; c < C; ++c) mean += A(row[c]);
                mean /= static_cast<A>(C);
            }
            for (int64_t c = 0; c < C; ++c) square += (A(row[c]) - mean) * (A(row[c]) - mean);
            const A rstd = 1 / std::sqrt(square / static_cast<A>(C) + static_cast<A>(eps));
            for (int64_t c = 0; c < C; ++c) {
                A value = (A(row[c]) - mean) * rstd;
                if (w) value *= A(w[c]);
                if (b) value += A(b[c]);
                y[n][c] = T(value);
            }
            if (stats.data) {
                stats[n][0] = mean;
                stats[n][1] = rstd;
            }
        }
    });
}

// With z = (x - mean) rstd and g = dy * weight:
// dx = rstd (g - z mean(g z)), and for layer norm less rstd mean(g).
void norm_backward(Stream&, Tensor dx_, NormWeights dweights, Tensor dy_, Tensor x_, Tensor stats_,
                   NormKind kind, NormWeights weights, bool accumulate) {
    check_norm_backward(dx_, dweights, dy_, x_, stats_, kind, weights);
    dispatch_float(x_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto dx = rows_of<T>(dx_, "dx"), dy = rows_of<T>(dy_, "dy"), x = rows_of<T>(x_, "x");
        const auto stats = rows_of<A>(stats_, "stats");
        const int64_t C = x.cols;
        const bool weighted = kind != NormKind::srms;
        const T* w = weighted ? vector_of<T>(weights.weight, C, "weight") : nullptr;
        A* dw = weighted ? vector_of<A>(dweights.weight, C, "dweight") : nullptr;
        A* db = kind == NormKind::layer ? vector_of<A>(dweights.bias, C, "dbias") : nullptr;
        for (int64_t n = 0; n < x.count; ++n) {
            const A mean = stats[n][0], rstd = stats[n][1];
            A mean_g = 0, mean_gz = 0;
            for (int64_t c = 0; c < C; ++c) {
                const A z = (A(x[n][c]) - mean) * rstd, g = A(dy[n][c]) * (w ? A(w[c]) : A(1));
                mean_g += g;
                mean_gz += g * z;
                if (dw) dw[c] += A(dy[n][c]) * z;
                if (db) db[c] += A(dy[n][c]);
            }
            mean_g = kind == NormKind::layer ? mean_g / static_cast<A>(C) : A(0);
            mean_gz /= static_cast<A>(C);
            for (int64_t c = 0; c < C; ++c) {
                const A z = (A(x[n][c]) - mean) * rstd, g = A(dy[n][c]) * (w ? A(w[c]) : A(1));
                const A d = rstd * (g - mean_g - z * mean_gz);
                dx[n][c] = T(accumulate ? A(dx[n][c]) + d : d);
            }
        }
    });
}

} // namespace oracle
} // namespace tnl
