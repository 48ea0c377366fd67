#include "ops/act/act.h"
#include "ops/simd/simd.h"
#include "ops/spans.h"

namespace tnl::fast {
namespace {

// f(pointers..., n) on whole rows for exp, which needs their maximum, else on any stretches.
template <class F, class S, class... Rest>
void for_activation(Stream& stream, Activation act, F&& f, Rows<S> first, Rest... rest) {
    if (act != Activation::exp) return for_spans(*stream.threads, f, first, rest...);
    stream.threads->parallel_for(first.count, row_grain(first.cols),
                                 [&](int64_t begin, int64_t end) {
                                     for (int64_t n = begin; n < end; ++n)
                                         f(first[n], rest[n]..., first.cols);
                                 });
}

} // namespace

void act_forward(Stream& stream, Tensor y, Tensor x, Activation act) {
    if (x.dtype == DType::f64) return oracle::act_forward(stream, y, x, act);
    check_same_shape(y, x, "y", "x");
    dispatch_f32_bf16(x.dtype, [&]<class S>() {
        for_activation(
            stream, act,
            [&](S* to, const S* from, int64_t n) { loops<S>().act_forward(to, from, n, act); },
            rows_of<S>(y, "y"), rows_of<S>(x, "x"));
    });
}

void act_backward(Stream& stream, Tensor dx, Tensor dy, Tensor x, Activation act) {
    if (x.dtype == DType::f64) return oracle::act_backward(stream, dx, dy, x, act);
    check_same_shape(dx, x, "dx", "x");
    check_same_shape(dy, x, "dy", "x");
    dispatch_f32_bf16(x.dtype, [&]<class S>() {
        for_activation(
            stream, act,
            [&](S* to, const S* d, const S* from, int64_t n) {
                loops<S>().act_backward(to, d, from, n, act);
            },
            rows_of<S>(dx, "dx"), rows_of<S>(dy, "dy"), rows_of<S>(x, "x"));
    });
}

void gate_forward(Stream& stream, Tensor y, Tensor a, Tensor g, Activation act) {
    if (a.dtype == DType::f64) return oracle::gate_forward(stream, y, a, g, act);
    check_same_shape(y, a, "y", "a");
    check_same_shape(g, a, "g", "a");
    dispatch_f32_bf16(a.dtype, [&]<class S>() {
        for_activation(
            stream, act,
            [&](S* to, const S* left, const S* right, int64_t n) {
                loops<S>().gate_forward(to, left, right, n, act);
            },
            rows_of<S>(y, "y"), rows_of<S>(a, "a"), rows_of<S>(g, "g"));
    });
}

void gate_backward(Stream& stream, Tensor da, Tensor dg, Tensor y, Tensor dy, Tensor a, Tensor g,
                   Activation act) {
    if (a.dtype == DType::f64) return oracle::gate_backward(stream, da, dg, y, dy, a, g, act);
    check_same_shape(da, a, "da", "a");
    check_same_shape(dg, a, "dg", "a");
    check_same_shape(dy, a, "dy", "a");
    check_same_shape(g, a, "g", "a");
    if (y) check_same_shape(y, a, "y", "a");
    dispatch_f32_bf16(a.dtype, [&]<class S>() {
        const auto to_a = rows_of<S>(da, "da"), to_g = rows_of<S>(dg, "dg");
        const auto d = rows_of<S>(dy, "dy"), left = rows_of<S>(a, "a"), right = rows_of<S>(g, "g");
        const auto backward = [&](S* pa, S* pg, const S* pd, const S* l, const S* r, int64_t n) {
            loops<S>().gate_backward(pa, pg, pd, l, r, n, act);
        };
        if (!y) return for_activation(stream, act, backward, to_a, to_g, d, left, right);
        for_activation(
            stream, act,
            [&](S* pa, S* pg, const S* pd, const S* l, const S* r, S* again, int64_t n) {
                backward(pa, pg, pd, l, r, n);
                loops<S>().gate_forward(again, l, r, n, act); // after dy, which it may replace
            },
            to_a, to_g, d, left, right, rows_of<S>(y, "y"));
    });
}

} // namespace tnl::fast
