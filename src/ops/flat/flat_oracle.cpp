#include "ops/flat/flat.h"
#include "ops/rows.h"

namespace tnl::oracle {
namespace {

// dispatch_float and f16, which occurs in files.
template <class F> void dispatch_stored(DType dtype, F&& f) {
    if (dtype == DType::f16)
        f.template operator()<f16>();
    else
        dispatch_float(dtype, f);
}

// f in f64 over every element of x, summed in order.
template <class F> void total(Tensor out, Tensor x_, F&& f) {
    double* result = vector_of<double>(out, 1, "out");
    *result = 0;
    dispatch_float(x_.dtype, [&]<class T>() {
        const auto x = rows_of<T>(x_, "x");
        for (int64_t n = 0; n < x.count; ++n)
            for (int64_t c = 0; c < x.cols; ++c)
                *result += f(static_cast<double>(Accumulator<T>(x[n][c])));
    });
}

} // namespace

void bias_forward(Stream&, Tensor y_, Tensor bias) {
    dispatch_float(y_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto y = rows_of<T>(y_, "y");
        const T* b = vector_of<T>(bias, y.cols, "bias");
        for (int64_t n = 0; n < y.count; ++n)
            for (int64_t c = 0; c < y.cols; ++c) y[n][c] = T(A(y[n][c]) + A(b[c]));
    });
}

void bias_backward(Stream&, Tensor dbias, Tensor dy_) {
    dispatch_float(dy_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto dy = rows_of<T>(dy_, "dy");
        A* db = vector_of<A>(dbias, dy.cols, "dbias");
        for (int64_t c = 0; c < dy.cols; ++c) {
            A sum = 0;
            for (int64_t n = 0; n < dy.count; ++n) sum += A(dy[n][c]);
            db[c] += sum;
        }
    });
}

void mask_rows(Stream&, Tensor y_, Tensor mask) {
    const auto* keep = vector_of<int32_t>(mask, y_.shape[0], "mask");
    dispatch_float(y_.dtype, [&]<class T>() {
        const auto y = rows_of<T>(y_, "y");
        for (int64_t n = 0; n < y.count; ++n)
            if (keep[n / y.inner] == 0)
                for (int64_t c = 0; c < y.cols; ++c) y[n][c] = T(0.0f);
    });
}

void sum_squares(Stream&, Tensor out, Tensor x) {
    total(out, x, [](double value) { return value * value; });
}

void sum(Stream&, Tensor out, Tensor x) {
    total(out, x, [](double value) { return value; });
}

void add(Stream&, Tensor y_, Tensor x_) {
    check_same_shape(y_, x_, "y", "x");
    dispatch_float(y_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto y = rows_of<T>(y_, "y"), x = rows_of<T>(x_, "x");
        for (int64_t n = 0; n < y.count; ++n)
            for (int64_t c = 0; c < y.cols; ++c) y[n][c] = T(A(y[n][c]) + A(x[n][c]));
    });
}

void cast(Stream&, Tensor y_, Tensor x_) {
    check_same_shape(y_, x_, "y", "x");
    dispatch_stored(y_.dtype, [&]<class To>() {
        dispatch_stored(x_.dtype, [&]<class From>() {
            const auto y = rows_of<To>(y_, "y");
            const auto x = rows_of<From>(x_, "x");
            for (int64_t n = 0; n < y.count; ++n)
                for (int64_t c = 0; c < y.cols; ++c)
                    y[n][c] = static_cast<To>(static_cast<Accumulator<From>>(x[n][c]));
        });
    });
}

void scale(Stream&, Tensor y_, float factor) {
    dispatch_float(y_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto y = rows_of<T>(y_, "y");
        for (int64_t n = 0; n < y.count; ++n)
            for (int64_t c = 0; c < y.cols; ++c) y[n][c] = T(A(y[n][c]) * static_cast<A>(factor));
    });
}

} // namespace tnl::oracle
