#include "ops/act/act.h"
#include "ops/act/act_scalar.h"
#include "ops/rows.h"

namespace tnl::oracle {

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

void gate_backward(Stream&, Tensor da_, Tensor dg_, Tensor y_, Tensor dy_, Tensor a_, Tensor g_,
                   Activation act) {
    check_same_shape(da_, a_, "da", "a");
    if (y_) check_same_shape(y_, a_, "y", "a");
    check_same_shape(dg_, a_, "dg", "a");
    check_same_shape(dy_, a_, "dy", "a");
    check_same_shape(g_, a_, "g", "a");
    dispatch_float(a_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto da = rows_of<T>(da_, "da"), dg = rows_of<T>(dg_, "dg");
        const auto dy = rows_of<T>(dy_, "dy"), a = rows_of<T>(a_, "a"), g = rows_of<T>(g_, "g");
        const auto y = rows_of<T>(y_, "y");
        for (int64_t n = 0; n < a.count; ++n) {
            const ActRow<T> row(act, g[n], g.cols);
            for (int64_t c = 0; c < a.cols; ++c) {
                const A gradient = dy[n][c], factor = a[n][c];
                const A value = row.value(c), slope = row.slope(c);
                if (y.data) y[n][c] = T(factor * value);
                da[n][c] = T(gradient * value);
                dg[n][c] = T(gradient * factor * slope);
            }
        }
    });
}

} // namespace tnl::oracle
