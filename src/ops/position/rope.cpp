#include "ops/position/rope.h"

#include "ops/position/lrpe.h"
#include "ops/rows.h"

#include <cmath>

namespace tnl {

void check_rope(const Tensor& y, const Tensor& x, const Tensor& positions, double base) {
    const auto [N, H, D] = x.dims<3>("x");
    TNL_CHECK(D % 2 == 0, "heads are {} wide, wanted an even number: they are turned in pairs", D);
    check_same_shape(y, x, "y", "x");
    TNL_CHECK(positions.is({N}) && positions.dtype == DType::i32 && positions.contiguous(),
              "positions are {} {}, wanted i32 [{}]", name_of(positions.dtype),
              positions.shape_string(), N);
    TNL_CHECK(base > 0, "rotary positions to the base {}, wanted above 0", base);
}

std::vector<double> rope_rates(int64_t D, double base) {
    std::vector<double> out;
    for (int64_t i = 0; i < D / 2; ++i)
        out.push_back(std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(D)));
    return out;
}

namespace oracle {

void rope(Stream& stream, Tensor y_, Tensor x_, Tensor positions, double base, bool backward) {
    check_rope(y_, x_, positions, base);
    const int64_t N = x_.shape[0], H = x_.shape[1], D = x_.shape[2], half = D / 2;
    const std::vector<double> rates = rope_rates(D, base);
    const auto* p = positions.as<int32_t>();
    dispatch_float(x_.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto y = rows_of<T>(y_, "y"), x = rows_of<T>(x_, "x");
        stream.threads->parallel_for(N, 16, [&](int64_t begin, int64_t end) {
            std::vector<A> cosine(static_cast<size_t>(half)), sine = cosine;
            for (int64_t n = begin; n < end; ++n) {
                // All heads of a token turn alike.
                for (size_t i = 0; i < rates.size(); ++i) {
                    const double angle = lrpe_angle(static_cast<A>(rates[i]), p[n]);
                    cosine[i] = static_cast<A>(std::cos(angle));
                    sine[i] = static_cast<A>(backward ? -std::sin(angle) : std::sin(angle));
                }
                for (int64_t row = n * H; row < (n + 1) * H; ++row)
                    for (int64_t i = 0; i < half; ++i) {
                        const A a = static_cast<A>(x[row][i]), b = static_cast<A>(x[row][i + half]);
                        const A c = cosine[static_cast<size_t>(i)],
                                s = sine[static_cast<size_t>(i)];
                        y[row][i] = T(a * c - b * s);
                        y[row][i + half] = T(b * c + a * s);
                    }
            }
        });
    });
}

} // namespace oracle
} // namespace tnl
