#include "ops/position/position.h"
#include "ops/simd/simd.h"
#include "ops/spans.h"

namespace tnl::fast {
namespace {

std::vector<float> theta_f32(const Tensor& theta) {
    const std::vector<double> wide = theta_values(theta);
    return {wide.begin(), wide.end()};
}

} // namespace

void lrpe_forward(Stream& stream, Tensor y_, Tensor x_, Tensor theta_, Tensor positions) {
    if (x_.dtype == DType::f64) return oracle::lrpe_forward(stream, y_, x_, theta_, positions);
    check_lrpe(y_, x_, theta_, positions);
    const std::vector<float> theta = theta_f32(theta_);
    const auto* p = positions.as<int32_t>();
    const int64_t H = x_.shape[1], D = x_.shape[2];
    dispatch_f32_bf16(x_.dtype, [&]<class S>() {
        const auto y = rows_of<S>(y_, "y"), x = rows_of<S>(x_, "x");
        stream.threads->parallel_for(x.count, row_grain(D), [&](int64_t begin, int64_t end) {
            for (int64_t row = begin; row < end; ++row)
                loops<S>().lrpe_forward(y[row], y[row] + D, x[row], theta.data() + row % H * D, D,
                                        p[row / H]);
        });
    });
}

// Each thread has some of the H*D columns for all tokens, so that dtheta is summed in token order.
void lrpe_backward(Stream& stream, Tensor dx_, Tensor dtheta_, Tensor dy_, Tensor x_, Tensor theta_,
                   Tensor positions) {
    if (x_.dtype == DType::f64)
        return oracle::lrpe_backward(stream, dx_, dtheta_, dy_, x_, theta_, positions);
    check_lrpe(dy_, x_, theta_, positions);
    check_same_shape(dx_, x_, "dx", "x");
    if (dtheta_) check_same_shape(dtheta_, theta_, "dtheta", "theta");
    const std::vector<float> theta = theta_f32(theta_);
    const auto* p = positions.as<int32_t>();
    const int64_t N = x_.shape[0], H = x_.shape[1], D = x_.shape[2];
    dispatch_f32_bf16(x_.dtype, [&]<class S>() {
        const auto dx = rows_of<S>(dx_, "dx"), dy = rows_of<S>(dy_, "dy"), x = rows_of<S>(x_, "x");
        const auto dtheta = rows_of<float>(dtheta_, "dtheta");
        const int64_t grain = std::max<int64_t>(16, kElementsPerThread / std::max<int64_t>(1, N));
        stream.threads->parallel_for(H * D, grain, [&](int64_t begin, int64_t end) {
            std::vector<double> sums(static_cast<size_t>(end - begin));
            for (int64_t n = 0; n < N; ++n)
                for (int64_t at = begin; at < end;) {
                    const int64_t h = at / D, d = at % D;
                    const int64_t count = std::min(D - d, end - at), row = n * H + h;
                    loops<S>().lrpe_backward(
                        dx[row] + d, dtheta.data ? sums.data() + (at - begin) : nullptr,
                        dy[row] + d, dy[row] + D + d, x[row] + d, theta.data() + at, count, p[n]);
                    at += count;
                }
            for (int64_t at = begin; dtheta.data && at < end; ++at)
                dtheta[at / D][at % D] += static_cast<float>(sums[static_cast<size_t>(at - begin)]);
        });
    });
}

} // namespace tnl::fast
