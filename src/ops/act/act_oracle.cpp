#include "ops/act/act.h"
#include "ops/act/act_scalar.h"
#include "ops/rows.h"

#include <algorithm>

namespace tnl::oracle {
namespace {

// One row of activations, made number by number: `value(i)` and `slope(i)`. For exp both are
// exp(x - max x), since no gradient flows through the maximum.
template <class T> struct ActRow {
    using A = Accumulator<T>;
    ActRow(Activation act_, const T* x_, int64_t n) : act(act_), x(x_) {
        if (act != Activation::exp) return;
        for (int64_t i = 0; i < n; ++i) max = i == 0 ? A(x[i]) : std::max(max, A(x[i]));
    }
    A value(int64_t i) const {
        return act == Activation::exp ? std::exp(A(x[i]) - max) : act_value(act, A(x[i]));
    }
    A slope(int64_t i) const {
        return act == Activation::exp ? std::exp(A(x[i]) - max) : act_slope(act, A(x[i]));
    }
    Activation act;
    const T* x;
    A max = 0;
};

} // namespace

void act_forward(Stream&, Tensor y_, Tensor x_, Activation act) {
    check_same_shape(y_, x_, "y", "x");
    dispatch_float(x_.dtype, [&]<class T>() {
        const auto y = rows_of<T>(y_, "y"), x = rows_of<T>(x_, "x");
        for (int64_t n = 0; n < x.count; ++n) {
            const ActRow<T> row(act, x[n], x.cols);
            for (int64_t c = 0; c < x.cols; ++c) y[n][c] = T(row.value(c));
        }
    });
}

void act_backward(Stream&, Tensor dx_, Tensor dy_, Tensor x_, Activation act) {
    check_same_shape(dx_, x_, "dx", "x");
    check_same_shape(dy_, x_, "dy", "x");
    dispatch_float(x_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto dx = rows_of<T>(dx_, "dx"), dy = rows_of<T>(dy_, "dy"), x = rows_of<T>(x_, "x");
        for (int64_t n = 0; n < x.count; ++n) {
            const ActRow<T> row(act, x[n], x.cols);
            for (int64_t c = 0; c < x.cols; ++c) dx[n][c] = T(A(dy[n][c]) * row.slope(c));
        }
    });
}

void gate_forward(Stream&, Tensor y_, Tensor a_, Tensor g_, Activation act) {
    check_same_shape(y_, a_, "y", "a");
    check_same_shape(g_, a_, "g", "a");
    dispatch_float(a_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto y = rows_of<T>(y_, "y"), a = rows_of<T>(a_, "a"), g = rows_of<T>(g_, "g");
        for (int64_t n = 0; n < a.count; ++n) {
            const ActRow<T> row(act, g[n], g.cols);
            for (int64_t c = 0; c < a.cols; ++c) y[n][c] = T(A(a[n][c]) * row.value(c));
        }
    });
}

void gate_backward(Stream&, Tensor da_, Tensor dg_, Tensor dy_, Tensor a_, Tensor g_,
                   Activation act) {
    check_same_shape(da_, a_, "da", "a");
    check_same_shape(dg_, a_, "dg", "a");
    check_same_shape(dy_, a_, "dy", "a");
    check_same_shape(g_, a_, "g", "a");
    dispatch_float(a_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto da = rows_of<T>(da_, "da"), dg = rows_of<T>(dg_, "dg");
        const auto dy = rows_of<T>(dy_, "dy"), a = rows_of<T>(a_, "a"), g = rows_of<T>(g_, "g");
        for (int64_t n = 0; n < a.count; ++n) {
            const ActRow<T> row(act, g[n], g.cols);
            for (int64_t c = 0; c < a.cols; ++c) {
                const A gradient = dy[n][c], factor = a[n][c];
                const A value = row.value(c), slope = row.slope(c);
                da[n][c] = T(gradient * value);
                dg[n][c] = T(gradient * factor * slope);
            }
        }
    });
}

} // namespace tnl::oracle
