// Lightning attention from C++: a sequence at once, its gradients, and the same sequence token by
// token with the state updated in place. Prints how far the two are apart.
#include <transnormer/lightning.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

using namespace tnl::lightning;

int main() {
    const Shape shape{/*B*/ 1, /*T*/ 300, /*H*/ 4, /*D*/ 64, /*E*/ 64};
    const auto rows = static_cast<size_t>(shape.T * shape.H);
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    const auto draw = [&](size_t n) {
        std::vector<float> x(n);
        for (float& value : x) value = normal(random);
        return x;
    };
    const std::vector<float> q = draw(rows * 64), k = draw(rows * 64), v = draw(rows * 64);
    const std::vector<float> decay{0.25f, 0.0625f, 0.015625f, 0}; // the last head forgets nothing

    try {
        Call call = attention(shape, q.data(), k.data(), v.data(), decay.data());
        std::printf("forward  %s\n", plan(call, false).c_str());
        std::vector<float> o(rows * 64);
        forward(call, o.data());

        std::printf("backward %s\n", plan(call, true).c_str());
        std::vector<float> dq(rows * 64), dk(rows * 64), dv(rows * 64);
        backward(call, /*dout*/ o.data(), dq.data(), dk.data(), dv.data());

        // Decoding: one token a call, the state in place.
        std::vector<float> state(static_cast<size_t>(shape.H) * 64 * 64), step(4 * 64);
        double worst = 0;
        for (int64_t t = 0; t < shape.T; ++t) {
            const auto at = static_cast<size_t>(t * shape.H * 64);
            Call one = attention({1, 1, shape.H, 64, 64}, &q[at], &k[at], &v[at], decay.data());
            one.state_in = one.state_out = state.data();
            forward(one, step.data());
            for (size_t i = 0; i < step.size(); ++i)
                worst = std::max(worst, std::abs(static_cast<double>(step[i]) - o[at + i]));
        }
        std::printf("token by token differs by at most %.1e\n", worst);
        return worst < 1e-2 ? 0 : 1;
    } catch (const Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
