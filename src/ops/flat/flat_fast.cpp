#include "ops/flat/flat.h"
#include "ops/simd/simd.h"
#include "ops/spans.h"

#include <cstring>
#include <vector>

namespace tnl::fast {
namespace {

// f(pointer, n) summed over blocks of a fixed size, the blocks' sums in order: the same for any
// number of threads.
template <class S, class F> void total(Stream& stream, Tensor out, const Tensor& x_, F&& f) {
    constexpr int64_t kBlock = 1 << 16;
    double* result = vector_of<double>(out, 1, "out");
    auto x = rows_of<S>(x_, "x");
    if (x.inner > 1 && joinable(x)) x = joined(x);
    const int64_t size = x.count * x.cols, blocks = (size + kBlock - 1) / kBlock;
    std::vector<double> parts(static_cast<size_t>(blocks));
    stream.threads->parallel_for(blocks, 1, [&](int64_t begin, int64_t end) {
        for (int64_t block = begin; block < end; ++block) {
            double& part = parts[static_cast<size_t>(block)];
            const int64_t last = std::min(size, (block + 1) * kBlock);
            for (int64_t at = block * kBlock; at < last;) {
                const int64_t row = at / x.cols, c = at % x.cols;
                const int64_t n = std::min(x.cols - c, last - at);
                part += f(x[row] + c, n);
                at += n;
            }
        }
    });
    *result = 0;
    for (double part : parts) *result += part;
}

} // namespace

void bias_forward(Stream& stream, Tensor y_, Tensor bias) {
    if (y_.dtype == DType::f64) return oracle::bias_forward(stream, y_, bias);
    dispatch_f32_bf16(y_.dtype, [&]<class S>() {
        const auto y = rows_of<S>(y_, "y");
        const S* b = vector_of<S>(bias, y.cols, "bias");
        stream.threads->parallel_for(y.count, row_grain(y.cols), [&](int64_t begin, int64_t end) {
            for (int64_t n = begin; n < end; ++n) loops<S>().add(y[n], b, y.cols);
        });
    });
}

void bias_backward(Stream& stream, Tensor dbias, Tensor dy_) {
    if (dy_.dtype == DType::f64) return oracle::bias_backward(stream, dbias, dy_);
    dispatch_f32_bf16(dy_.dtype, [&]<class S>() {
        const auto dy = rows_of<S>(dy_, "dy");
        float* db = vector_of<float>(dbias, dy.cols, "dbias");
        column_sums<1>(*stream.threads, {db}, dy.count, dy.cols,
                       [&](float* part, int64_t n, int64_t c, int64_t count) {
                           loops<S>().accumulate(part, dy[n] + c, count, 1);
                       });
    });
}

void mask_rows(Stream& stream, Tensor y_, Tensor mask) {
    const auto* keep = vector_of<int32_t>(mask, y_.shape[0], "mask");
    dispatch_float(y_.dtype, [&]<class S>() {
        const auto y = rows_of<S>(y_, "y");
        stream.threads->parallel_for(y.count, row_grain(y.cols), [&](int64_t begin, int64_t end) {
            for (int64_t n = begin; n < end; ++n)
                if (keep[n / y.inner] == 0)
                    std::memset(static_cast<void*>(y[n]), 0,
                                static_cast<size_t>(y.cols) * sizeof(S));
        });
    });
}

void sum_squares(Stream& stream, Tensor out, Tensor x) {
    if (x.dtype == DType::f64) return oracle::sum_squares(stream, out, x);
    dispatch_f32_bf16(x.dtype,
                      [&]<class S>() { total<S>(stream, out, x, loops<S>().sum_squares); });
}

void sum(Stream& stream, Tensor out, Tensor x) {
    if (x.dtype == DType::f64) return oracle::sum(stream, out, x);
    dispatch_f32_bf16(x.dtype, [&]<class S>() { total<S>(stream, out, x, loops<S>().sum); });
}

void add(Stream& stream, Tensor y, Tensor x) {
    if (y.dtype == DType::f64) return oracle::add(stream, y, x);
    check_same_shape(y, x, "y", "x");
    dispatch_f32_bf16(y.dtype, [&]<class S>() {
        for_spans(*stream.threads, loops<S>().add, rows_of<S>(y, "y"), rows_of<S>(x, "x"));
    });
}

void cast(Stream& stream, Tensor y, Tensor x) {
    check_same_shape(y, x, "y", "x");
    const auto convert = [&]<class To, class From>(void (*f)(To*, const From*, int64_t)) {
        for_spans(*stream.threads, f, rows_of<To>(y, "y"), rows_of<From>(x, "x"));
    };
    if (y.dtype == DType::f32 && x.dtype == DType::bf16) return convert(simd().widen);
    if (y.dtype == DType::bf16 && x.dtype == DType::f32) return convert(simd().narrow);
    if (y.dtype != x.dtype || y.dtype == DType::f16) return oracle::cast(stream, y, x);
    dispatch_float(y.dtype, [&]<class S>() {
        for_spans(
            *stream.threads,
            [](S* to, const S* from, int64_t n) {
                std::memmove(static_cast<void*>(to), from, static_cast<size_t>(n) * sizeof(S));
            },
            rows_of<S>(y, "y"), rows_of<S>(x, "x"));
    });
}

void scale(Stream& stream, Tensor y, float factor) {
    if (y.dtype == DType::f64) return oracle::scale(stream, y, factor);
    dispatch_f32_bf16(y.dtype, [&]<class S>() {
        for_spans(
            *stream.threads, [&](S* at, int64_t n) { loops<S>().scaled_copy(at, at, n, factor); },
            rows_of<S>(y, "y"));
    });
}

} // namespace tnl::fast
