#include "ops/lightning/scan_cpu.h"

#include "base/cpu.h"

#include <algorithm>
#include <cmath>

namespace tnl {
namespace {

// Another cut must promise this share of the time, lest a small gain on paper cost real packing.
constexpr double kWorthwhile = 0.93;
constexpr int64_t kShortestSegment = 4 * kLightningChunk;

double rounds(int64_t items, int threads) {
    return std::ceil(static_cast<double>(items) / threads);
}

} // namespace

const LightningLoops& lightning_loops() {
    const CpuFeatures& cpu = cpu_features();
    static const LightningLoops& best = cpu.avx512_bf16 ? lightning_avx512_bf16()
                                        : cpu.avx512    ? lightning_avx512()
                                        : cpu.avx2      ? lightning_avx2()
                                                        : lightning_baseline();
    return best;
}

LightningDecay lightning_decay(double slope) {
    const auto power = [slope](int64_t n) {
        return n == 0 ? 1.0 : std::exp(-slope * static_cast<double>(n));
    };
    LightningDecay decay{};
    for (int64_t n = 0; n <= kLightningChunk + 1; ++n)
        decay.power[n] = static_cast<float>(power(n));
    for (int64_t n = 0; n < kLightningChunk; ++n) decay.mask[kLightningChunk - n] = decay.power[n];
    for (int64_t m = 1; m <= kLightningChunk; ++m) {
        const StateDecay state = state_decay(slope, m);
        decay.keep[m] = state.keep;
        decay.change[m] = state.change;
    }
    return decay;
}

StateDecay state_decay(double slope, int64_t m) {
    const double x = -slope * static_cast<double>(m), power = std::exp(x);
    if (power <= 0.5) return {0, static_cast<float>(power)};
    return {1, static_cast<float>(std::expm1(x))};
}

double state_work(int64_t K, int64_t N) { return static_cast<double>(K) * static_cast<double>(N); }

double scan_work(int64_t K, int64_t N) {
    const double half_chunk = static_cast<double>(kLightningChunk) / 2;
    return 2 * state_work(K, N) + half_chunk * static_cast<double>(K + N);
}

ScanCut cut_scan(const ScanRequest& r) {
    ScanCut best;
    if (r.longest <= 0) return best;
    // Scans of the longest length that all tokens make.
    const int64_t scans = std::max<int64_t>(1, (r.tokens + r.longest - 1) / r.longest);
    const int64_t panels = std::max<int64_t>(1, (r.N + r.panel - 1) / r.panel);
    double best_time = 0;
    const auto consider = [&](int64_t blocks, int64_t segments) {
        const int64_t columns = (panels + blocks - 1) / blocks * r.panel;
        const double tokens = static_cast<double>(r.longest) / static_cast<double>(segments);
        double time = rounds(scans * blocks * segments, r.threads) * scan_work(r.K, columns);
        if (segments > 1)
            time += rounds(scans * blocks * (segments - 1), r.threads) * state_work(r.K, columns);
        time *= tokens;
        if (best_time == 0 || time < kWorthwhile * best_time) {
            best_time = time;
            best = {blocks, segments};
        }
    };
    const int64_t most_segments =
        std::clamp<int64_t>(r.longest / kShortestSegment, 1, 2 * r.threads);
    for (int64_t segments = 1; segments <= most_segments; ++segments)
        for (int64_t blocks = 1; blocks <= std::min<int64_t>(panels, r.threads); ++blocks)
            consider(blocks, segments);
    return best;
}

} // namespace tnl
