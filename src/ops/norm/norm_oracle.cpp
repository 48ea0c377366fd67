#include "ops/act/act_scalar.h"
#include "ops/norm/norm.h"
#include "ops/rows.h"

#include <utility>
#include <vector>

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

void check_norm_forward(const Tensor& y, const Tensor& stats, const Tensor& x, NormKind kind,
                        const NormWeights& weights) {
    check_same_shape(y, x, "y", "x");
    if (stats)
        TNL_CHECK(stats.is({x.rows(), 2}), "stats has shape {}, wanted [{}, 2]",
                  stats.shape_string(), x.rows());
    check_weights(weights, kind, x, "norm weight");
}

void check_norm_backward(const Tensor& dx, const NormWeights& dweights, const Tensor& dy,
                         const Tensor& x, const Tensor& stats, NormKind kind,
                         const NormWeights& weights, bool of_output) {
    TNL_CHECK(!of_output || kind == NormKind::srms,
              "the backward of a norm with weights needs its input");
    check_same_shape(dx, x, "dx", "x");
    check_same_shape(dy, x, "dy", "x");
    TNL_CHECK(stats.is({x.rows(), 2}), "stats has shape {}, wanted [{}, 2]", stats.shape_string(),
              x.rows());
    check_weights(weights, kind, x, "norm weight");
    if (dweights.weight) check_weights(dweights, kind, x, "gradient of the norm weight");
}

void check_srms_gate_backward(const Tensor& dx, const Tensor& dg, const Tensor& y, const Tensor& dy,
                              const Tensor& x, const Tensor& g, const Tensor& stats) {
    check_norm_backward(dx, {}, dy, x, stats, NormKind::srms, {}, false);
    check_same_shape(dg, x, "dg", "x");
    check_same_shape(g, x, "g", "x");
    if (y) check_same_shape(y, x, "y", "x");
}

namespace oracle {
namespace {

// The weights of a norm: 1 and 0 where it has none.
template <class T> struct Affine {
    using A = Accumulator<T>;
    Affine(NormKind kind, const NormWeights& weights, int64_t C)
        : w(kind == NormKind::srms ? nullptr : vector_of<T>(weights.weight, C, "weight")),
          b(kind == NormKind::layer ? vector_of<T>(weights.bias, C, "bias") : nullptr) {}
    A weight(int64_t c) const { return w ? A(w[c]) : A(1); }
    A operator()(A z, int64_t c) const { return z * weight(c) + (b ? A(b[c]) : A(0)); }
    const T *w, *b;
};

// (mean, rstd) of a row; mean 0 but for layer norm.
template <class T, class A>
std::pair<A, A> stats_of(const T* row, int64_t C, NormKind kind, A eps) {
    A mean = 0, square = 0;
    if (kind == NormKind::layer) {
        for (int64_t c = 0; c < C; ++c) mean += A(row[c]);
        mean /= static_cast<A>(C);
    }
    for (int64_t c = 0; c < C; ++c) square += (A(row[c]) - mean) * (A(row[c]) - mean);
    return {mean, 1 / std::sqrt(square / static_cast<A>(C) + eps)};
}

} // namespace

void norm_forward(Stream&, Tensor y_, Tensor stats_, Tensor x_, NormKind kind, NormWeights weights,
                  float eps) {
    check_norm_forward(y_, stats_, x_, kind, weights);
    dispatch_float(x_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto y = rows_of<T>(y_, "y"), x = rows_of<T>(x_, "x");
        const auto stats = rows_of<A>(stats_, "stats");
        const Affine<T> affine(kind, weights, x.cols);
        for (int64_t n = 0; n < x.count; ++n) {
            const auto [mean, rstd] = stats_of(x[n], x.cols, kind, static_cast<A>(eps));
            for (int64_t c = 0; c < x.cols; ++c) y[n][c] = T(affine((A(x[n][c]) - mean) * rstd, c));
            if (stats.data) {
                stats[n][0] = mean;
                stats[n][1] = rstd;
            }
        }
    });
}

// With z = (x - mean) rstd, or x of_output, and g = dy * weight:
// dx = rstd (g - z mean(g z)), and for layer norm less rstd mean(g).
void norm_backward(Stream&, Tensor dx_, NormWeights dweights, Tensor dy_, Tensor x_, Tensor stats_,
                   NormKind kind, NormWeights weights, bool of_output, bool accumulate) {
    check_norm_backward(dx_, dweights, dy_, x_, stats_, kind, weights, of_output);
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
            const A mean = stats[n][0], rstd = stats[n][1], spread = of_output ? A(1) : rstd;
            A mean_g = 0, mean_gz = 0;
            for (int64_t c = 0; c < C; ++c) {
                const A z = (A(x[n][c]) - mean) * spread, g = A(dy[n][c]) * (w ? A(w[c]) : A(1));
                mean_g += g;
                mean_gz += g * z;
                if (dw) dw[c] += A(dy[n][c]) * z;
                if (db) db[c] += A(dy[n][c]);
            }
            mean_g = kind == NormKind::layer ? mean_g / static_cast<A>(C) : A(0);
            mean_gz /= static_cast<A>(C);
            for (int64_t c = 0; c < C; ++c) {
                const A z = (A(x[n][c]) - mean) * spread, g = A(dy[n][c]) * (w ? A(w[c]) : A(1));
                const A d = rstd * (g - mean_g - z * mean_gz);
                dx[n][c] = T(accumulate ? A(dx[n][c]) + d : d);
            }
        }
    });
}

void srms_gate_forward(Stream&, Tensor y_, Tensor stats_, Tensor x_, Tensor g_, float eps,
                       Activation act) {
    check_norm_forward(y_, stats_, x_, NormKind::srms, {});
    check_same_shape(g_, x_, "g", "x");
    dispatch_float(x_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto y = rows_of<T>(y_, "y"), x = rows_of<T>(x_, "x"), g = rows_of<T>(g_, "g");
        const auto stats = rows_of<A>(stats_, "stats");
        for (int64_t n = 0; n < x.count; ++n) {
            const A rstd = stats_of(x[n], x.cols, NormKind::srms, static_cast<A>(eps)).second;
            const ActRow<T> gate(act, g[n], x.cols);
            for (int64_t c = 0; c < x.cols; ++c) y[n][c] = T(A(x[n][c]) * rstd * gate.value(c));
            if (!stats.data) continue;
            stats[n][0] = 0;
            stats[n][1] = rstd;
        }
    });
}

// With z = x rstd and s = act(g): dz = dy s, dg = dy z act'(g), dx = rstd (dz - z mean(dz z)).
void srms_gate_backward(Stream&, Tensor dx_, Tensor dg_, Tensor y_, Tensor dy_, Tensor x_,
                        Tensor g_, Tensor stats_, Activation act) {
    check_srms_gate_backward(dx_, dg_, y_, dy_, x_, g_, stats_);
    dispatch_float(x_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto dx = rows_of<T>(dx_, "dx"), dg = rows_of<T>(dg_, "dg"), y = rows_of<T>(y_, "y");
        const auto dy = rows_of<T>(dy_, "dy"), x = rows_of<T>(x_, "x"), g = rows_of<T>(g_, "g");
        const auto stats = rows_of<A>(stats_, "stats");
        const int64_t C = x.cols;
        std::vector<A> dz(static_cast<size_t>(C));
        for (int64_t n = 0; n < x.count; ++n) {
            const A rstd = stats[n][1];
            const ActRow<T> gate(act, g[n], C);
            A mean = 0;
            for (int64_t c = 0; c < C; ++c) {
                const A z = A(x[n][c]) * rstd, gradient = dy[n][c];
                const A value = gate.value(c), slope = gate.slope(c);
                dz[static_cast<size_t>(c)] = gradient * value;
                mean += gradient * value * z;
                if (y.data) y[n][c] = T(z * value);
                dg[n][c] = T(gradient * z * slope);
            }
            mean /= static_cast<A>(C);
            for (int64_t c = 0; c < C; ++c)
                dx[n][c] = T(rstd * (dz[static_cast<size_t>(c)] - A(x[n][c]) * rstd * mean));
        }
    });
}

} // namespace oracle
} // namespace tnl
