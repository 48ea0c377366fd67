#include "ops/position/lrpe.h"
#include "ops/position/position.h"
#include "ops/rows.h"

namespace tnl {

void check_lrpe(const Tensor& doubled, const Tensor& x, const Tensor& theta,
                const Tensor& positions) {
    const auto [N, H, D] = x.dims<3>("x");
    TNL_CHECK(doubled.is({N, H, 2 * D}), "y has shape {}, wanted [{}, {}, {}]",
              doubled.shape_string(), N, H, 2 * D);
    TNL_CHECK(theta.is({H, D}), "theta has shape {}, wanted [{}, {}]", theta.shape_string(), H, D);
    TNL_CHECK(positions.is({N}) && positions.dtype == DType::i32,
              "positions are {} {}, wanted i32 [{}]", name_of(positions.dtype),
              positions.shape_string(), N);
}

std::vector<double> theta_values(const Tensor& theta) {
    std::vector<double> out;
    out.reserve(static_cast<size_t>(theta.size()));
    dispatch_float(theta.dtype, [&]<class T>() {
        const auto rows = rows_of<T>(theta, "theta");
        for (int64_t h = 0; h < rows.count; ++h)
            for (int64_t d = 0; d < rows.cols; ++d)
                out.push_back(static_cast<Accumulator<T>>(rows[h][d]));
    });
    return out;
}

namespace oracle {
namespace {

template <class T> double angle(double theta, int32_t position) {
    if constexpr (std::is_same_v<T, double>)
        return lrpe_angle(theta, position);
    else
        return lrpe_angle(static_cast<float>(theta), position);
}

} // namespace

void lrpe_forward(Stream&, Tensor y_, Tensor x_, Tensor theta_, Tensor positions) {
    check_lrpe(y_, x_, theta_, positions);
    const std::vector<double> theta = theta_values(theta_);
    const auto* p = positions.as<int32_t>();
    dispatch_float(x_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto y = rows_of<T>(y_, "y"), x = rows_of<T>(x_, "x");
        const int64_t H = x_.shape[1], D = x_.shape[2];
        for (int64_t row = 0; row < x.count; ++row) {
            const int64_t n = row / H, h = row % H;
            for (int64_t d = 0; d < D; ++d) {
                const double a = angle<T>(theta[static_cast<size_t>(h * D + d)], p[n]);
                y[row][d] = T(A(x[row][d]) * static_cast<A>(std::cos(a)));
                y[row][d + D] = T(A(x[row][d]) * static_cast<A>(std::sin(a)));
            }
        }
    });
}

void lrpe_backward(Stream&, Tensor dx_, Tensor dtheta_, Tensor dy_, Tensor x_, Tensor theta_,
                   Tensor positions) {
    check_lrpe(dy_, x_, theta_, positions);
    check_same_shape(dx_, x_, "dx", "x");
    if (dtheta_) check_same_shape(dtheta_, theta_, "dtheta", "theta");
    const std::vector<double> theta = theta_values(theta_);
    const auto* p = positions.as<int32_t>();
    dispatch_float(x_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto dx = rows_of<T>(dx_, "dx"), dy = rows_of<T>(dy_, "dy"), x = rows_of<T>(x_, "x");
        const auto dtheta = rows_of<A>(dtheta_, "dtheta");
        const int64_t H = x_.shape[1], D = x_.shape[2];
        for (int64_t row = 0; row < x.count; ++row) {
            const int64_t n = row / H, h = row % H;
            for (int64_t d = 0; d < D; ++d) {
                const double a = angle<T>(theta[static_cast<size_t>(h * D + d)], p[n]);
                const A cosine = static_cast<A>(std::cos(a)), sine = static_cast<A>(std::sin(a));
                const A dc = dy[row][d], ds = dy[row][d + D], value = x[row][d];
                dx[row][d] = T(dc * cosine + ds * sine);
                if (dtheta.data)
                    dtheta[h][d] += static_cast<A>(p[n]) * value * (ds * cosine - dc * sine);
            }
        }
    });
}

} // namespace oracle
} // namespace tnl
