#include "ops/norm/norm.h"
#include "ops/simd/simd.h"
#include "ops/spans.h"

#include <vector>

namespace tnl::fast {
namespace {

// A row in f32, so that nothing is rounded between two loops over it: f32 rows are it themselves.
template <class S> class WideRow {
  public:
    explicit WideRow(int64_t C) : C_(C) {
        if constexpr (std::is_same_v<S, bf16>) buffer_.resize(static_cast<size_t>(C));
    }
    const float* load(const S* row) {
        if constexpr (std::is_same_v<S, float>)
            return row;
        else {
            simd().widen(buffer_.data(), row, C_);
            return buffer_.data();
        }
    }
    float* room(S* row) {
        if constexpr (std::is_same_v<S, float>)
            return row;
        else
            return buffer_.data();
    }
    void store(S* row) { // what was put into room
        if constexpr (std::is_same_v<S, bf16>) simd().narrow(row, buffer_.data(), C_);
    }

  private:
    int64_t C_;
    std::vector<float> buffer_;
};

} // namespace

void norm_forward(Stream& stream, Tensor y_, Tensor stats_, Tensor x_, NormKind kind,
                  NormWeights weights, float eps) {
    if (x_.dtype == DType::f64)
        return oracle::norm_forward(stream, y_, stats_, x_, kind, weights, eps);
    check_norm_forward(y_, stats_, x_, kind, weights);
    dispatch_f32_bf16(x_.dtype, [&]<class S>() {
        const auto y = rows_of<S>(y_, "y"), x = rows_of<S>(x_, "x");
        const auto stats = rows_of<float>(stats_, "stats");
        const int64_t C = x.cols;
        const S* w = kind == NormKind::srms ? nullptr : vector_of<S>(weights.weight, C, "weight");
        const S* b = kind == NormKind::layer ? vector_of<S>(weights.bias, C, "bias") : nullptr;
        stream.threads->parallel_for(x.count, row_grain(C), [&](int64_t begin, int64_t end) {
            for (int64_t n = begin; n < end; ++n)
                loops<S>().norm_forward({y[n], stats.data ? stats[n] : nullptr, x[n], w, b, C,
                                         kind == NormKind::layer, eps});
        });
    });
}

void norm_backward(Stream& stream, Tensor dx_, NormWeights dweights, Tensor dy_, Tensor x_,
                   Tensor stats_, NormKind kind, NormWeights weights, bool of_output,
                   bool accumulate) {
    if (x_.dtype == DType::f64)
        return oracle::norm_backward(stream, dx_, dweights, dy_, x_, stats_, kind, weights,
                                     of_output, accumulate);
    check_norm_backward(dx_, dweights, dy_, x_, stats_, kind, weights, of_output);
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
                                          of_output, accumulate, stats[n][0], stats[n][1]});
        });
    });
}

void srms_gate_forward(Stream& stream, Tensor y_, Tensor stats_, Tensor x_, Tensor g_, float eps,
                       Activation act) {
    if (x_.dtype == DType::f64)
        return oracle::srms_gate_forward(stream, y_, stats_, x_, g_, eps, act);
    check_norm_forward(y_, stats_, x_, NormKind::srms, {});
    check_same_shape(g_, x_, "g", "x");
    dispatch_f32_bf16(x_.dtype, [&]<class S>() {
        const auto y = rows_of<S>(y_, "y"), x = rows_of<S>(x_, "x"), g = rows_of<S>(g_, "g");
        const auto stats = rows_of<float>(stats_, "stats");
        const int64_t C = x.cols;
        stream.threads->parallel_for(x.count, row_grain(C), [&](int64_t begin, int64_t end) {
            WideRow<S> wide_x(C), wide_g(C), out(C);
            for (int64_t n = begin; n < end; ++n) {
                float* to = out.room(y[n]);
                loops<float>().norm_forward({to, stats.data ? stats[n] : nullptr, wide_x.load(x[n]),
                                             nullptr, nullptr, C, false, eps});
                loops<float>().gate_forward(to, to, wide_g.load(g[n]), C, act);
                out.store(y[n]);
            }
        });
    });
}

void srms_gate_backward(Stream& stream, Tensor dx_, Tensor dg_, Tensor y_, Tensor dy_, Tensor x_,
                        Tensor g_, Tensor stats_, Activation act) {
    if (x_.dtype == DType::f64)
        return oracle::srms_gate_backward(stream, dx_, dg_, y_, dy_, x_, g_, stats_, act);
    check_srms_gate_backward(dx_, dg_, y_, dy_, x_, g_, stats_);
    dispatch_f32_bf16(x_.dtype, [&]<class S>() {
        const auto dx = rows_of<S>(dx_, "dx"), dg = rows_of<S>(dg_, "dg"), y = rows_of<S>(y_, "y");
        const auto dy = rows_of<S>(dy_, "dy"), x = rows_of<S>(x_, "x"), g = rows_of<S>(g_, "g");
        const auto stats = rows_of<float>(stats_, "stats");
        const int64_t C = x.cols;
        stream.threads->parallel_for(x.count, row_grain(C), [&](int64_t begin, int64_t end) {
            WideRow<S> wide_x(C), wide_g(C), wide_dy(C), out_x(C), out_g(C), out_y(C);
            std::vector<float> z(static_cast<size_t>(C));
            for (int64_t n = begin; n < end; ++n) {
                const float *gate = wide_g.load(g[n]), *gradient = wide_dy.load(dy[n]);
                float *to_x = out_x.room(dx[n]), *to_g = out_g.room(dg[n]);
                loops<float>().norm_forward(
                    {z.data(), stats[n], wide_x.load(x[n]), nullptr, nullptr, C, false, 0, true});
                loops<float>().gate_backward(to_x, to_g, gradient, z.data(), gate, C, act);
                if (y.data) {
                    loops<float>().gate_forward(out_y.room(y[n]), z.data(), gate, C, act);
                    out_y.store(y[n]);
                }
                loops<float>().norm_backward(
                    {to_x, to_x, z.data(), nullptr, C, false, true, false, 0, stats[n][1]});
                out_x.store(dx[n]);
                out_g.store(dg[n]);
            }
        });
    });
}

} // namespace tnl::fast
