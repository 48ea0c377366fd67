#include "ops/adam/adam.h"
#include "ops/simd/simd.h"
#include "ops/spans.h"

#include <algorithm>
#include <array>

namespace tnl::fast {
namespace {

// bf16 weights without a master: f32 for as long as a tile of them is in the cache.
void adamw_stochastic(Stream& stream, Tensor weights, float* m, float* v, const float* g,
                      const AdamW& a) {
    constexpr int64_t kTile = 1024;
    const AdamWStep step(a);
    bf16* w = weights.as<bf16>();
    stream.threads->parallel_for(
        weights.size(), kElementsPerThread, [&](int64_t begin, int64_t end) {
            std::array<float, kTile> tile;
            StochasticRounding rounding(a.step);
            for (int64_t at = begin; at < end; at += kTile) {
                const int64_t n = std::min(kTile, end - at);
                for (int64_t i = 0; i < n; ++i)
                    tile[static_cast<size_t>(i)] = static_cast<float>(w[at + i]);
                loops<float>().adamw(tile.data(), tile.data(), m + at, v + at, g + at, n, step);
                for (int64_t i = 0; i < n; ++i)
                    w[at + i].bits = rounding.bits(tile[static_cast<size_t>(i)], a.first + at + i);
            }
        });
}

} // namespace

void adamw(Stream& stream, Tensor weights, Tensor master, Tensor m_, Tensor v_, Tensor g_,
           const AdamW& a) {
    if (weights.dtype == DType::f64) return oracle::adamw(stream, weights, master, m_, v_, g_, a);
    check_adamw(weights, master, m_, v_, g_, a);
    const AdamWStep step(a);
    float *m = m_.as<float>(), *v = v_.as<float>();
    const float* g = g_.as<float>();
    if (!master.data) return adamw_stochastic(stream, weights, m, v, g, a);
    float* p = master.as<float>();
    dispatch_f32_bf16(weights.dtype, [&]<class S>() {
        S* w = weights.as<S>();
        stream.threads->parallel_for(weights.size(), kElementsPerThread,
                                     [&](int64_t begin, int64_t end) {
                                         loops<S>().adamw(w + begin, p + begin, m + begin,
                                                          v + begin, g + begin, end - begin, step);
                                     });
    });
}

} // namespace tnl::fast
