#include "ops/lightning/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace tnl {

ScanPlan plan_scan(int64_t sequences, int64_t heads, int64_t K, int64_t N, DType dtype,
                   bool decode) {
    TNL_CHECK(K >= 1 && K <= kMaxHeadWidth && N >= 1 && N <= kMaxHeadWidth,
              "lightning attention on a GPU: head widths {} and {}, wanted 1 to {}", K, N,
              kMaxHeadWidth);
    TNL_CHECK(is_float(dtype),
              "lightning attention on a GPU: dtype {}, wanted f64, f32, bf16 or f16",
              name_of(dtype));
    TNL_CHECK(sequences >= 0 && heads >= 0 && sequences * heads < (int64_t{1} << 31),
              "lightning attention on a GPU: {} sequences of {} heads", sequences, heads);
    ScanPlan plan;
    plan.key_width = static_cast<int>(K);
    if (decode) {
        plan.kernel = ScanKernel::decode;
        plan.chunk = 1;
        const int64_t wide =
            sequences * heads * ((N + DecodeShape::kWideTile - 1) / DecodeShape::kWideTile);
        plan.tile = N > DecodeShape::kTile && wide >= DecodeShape::kManyBlocks
                        ? DecodeShape::kWideTile
                        : DecodeShape::kTile;
        plan.threads = DecodeShape::kThreads;
    } else if (dtype == DType::bf16) {
        plan.kernel = ScanKernel::tensor_cores;
        plan.key_width = K <= 64 ? 64 : K <= 128 ? 128 : 256;
        plan.chunk = MmaShared::kChunk;
        plan.tile = MmaShared::kTile;
        plan.threads = MmaShared::kThreads;
        plan.shared = MmaShared(plan.key_width).bytes;
    } else {
        const PlainShared shared(plan.key_width);
        plan.kernel = ScanKernel::plain;
        plan.chunk = PlainShared::kChunk;
        plan.tile = PlainShared::kTile;
        plan.threads = PlainShared::kThreads;
        const DType sums = dtype == DType::f64 ? DType::f64 : DType::f32;
        plan.shared = shared.elements * static_cast<size_t>(size_of(sums));
    }
    plan.grid_x = sequences * heads;
    plan.grid_y = (N + plan.tile - 1) / plan.tile;
    return plan;
}

namespace {

// Microseconds on an H100: bench/lightning.md has the measurements. A block takes `chunk` for each
// of its chunks where nothing else holds it up, in the first pass kFirst; the memory takes
// `traffic`, and longer where too few multiprocessors ask it; another pass costs its launch, and
// each segment before one's own the reading of its state.
constexpr double kFirst = 0.5, kPass = 6.0, kStateRead = 1.0;
double chunk_cost(const ScanPlan& plan) {
    if (plan.key_width == 64) return 0.95;
    if (plan.key_width == 256) return plan.tile == 64 ? 2.0 : 2.9;
    if (plan.key_width == 192) return plan.tile == 64 ? 1.65 : 2.35;
    return plan.tile == 64 ? 1.5 : 1.7;
}
double d(int64_t x) { return static_cast<double>(x); }
int64_t up(int64_t x, int64_t y) { return (x + y - 1) / y; }

double forward_cost(const ScanPlan& plan, int64_t blocks, int64_t chunks, int64_t multiprocessors,
                    double traffic) {
    const int64_t segments = plan.segments;
    const double walks = d(up(chunks, segments) * up(blocks * segments, plan.grid_x));
    const double filled = std::min(1.0, d(blocks * segments) / d(multiprocessors));
    const double main = std::max(walks * chunk_cost(plan), traffic / std::sqrt(filled));
    if (segments == 1) return main;
    const double share = d(segments - 1) / d(segments);
    const double keys = std::max(plan.key_width, 128) / 128.0;
    return main + std::max(walks * kFirst * keys, traffic * share * 0.5) + kPass +
           d(segments - 1) * kStateRead * keys * plan.tile / 128;
}

// Blocks work in waves of as many as the grid has, the last one often of fewer; in each, all take
// as long as one block or as the memory. The first pass, of two scans, reads only what a state
// still remembers: a quarter of its cost is a guess between slow decays (all of it) and fast ones
// (none).
double backward_cost(const ScanPlan& plan, int64_t blocks, int64_t chunks, double traffic) {
    constexpr double kFromL2 = 1.2; // of `traffic`: what dk and dv both read
    constexpr double kFirstChunk = 0.8, kFirstTraffic = 0.36; // of one chunk; of all
    const int64_t segments = plan.segments, all = blocks * segments, each = up(chunks, segments);
    const double memory = traffic / kFromL2 / d(all * each); // of a chunk of a block
    const auto wave = [&](int64_t n) {
        return n == 0 ? 0.0 : d(each) * std::max(chunk_cost(plan), d(n) * memory);
    };
    const double main = d(all / plan.grid_x) * wave(plan.grid_x) + wave(all % plan.grid_x);
    if (segments == 1) return main;
    const double keys = std::max(plan.key_width, 128) / 128.0;
    const double walks = d(each * up(blocks * 2 / 3 * (segments - 1), plan.grid_x));
    const double first = std::max(walks * kFirstChunk * keys,
                                  traffic * kFirstTraffic * d(segments - 1) / d(segments));
    return main + first / 4 + kPass + d(segments - 1) * kStateRead * keys * plan.tile / 128;
}

int64_t multiprocessors_of(const ScanTarget& target) {
    return target.multiprocessors > 0 ? target.multiprocessors : 132;
}
// Segments of all heads and sequences together: more than two for each multiprocessor never pay,
// and so the memory for their states is bounded.
int64_t most_segments(const ScanTarget& target) { return 2 * multiprocessors_of(target); }
constexpr int kMostSegments = 64;    // of a sequence
constexpr int64_t kFewestChunks = 4; // of a segment

} // namespace

int64_t most_segment_states(const LightningShape& shape, const ScanTarget& target) {
    LightningShape one = shape;
    one.sequences = one.B;
    if (plan_scan_sm90(one, 1, target).kernel != ScanKernel::sm90) return 0;
    return std::min(most_segments(target), shape.sequences * shape.H * kMostSegments);
}

ScanPlan plan_scan_sm90(const LightningShape& shape, int scans, const ScanTarget& target) {
    ScanPlan plan;
    const int64_t K = std::max(shape.D, shape.E), N = scans == 1 ? shape.E : K;
    const int64_t keys = scans == 1 ? shape.D : K;
    const bool typed = shape.dtype == DType::bf16 || shape.dtype == DType::f16;
    if (target.compute != 90 || !target.boxes || !typed || K > 256 || K < 1 || shape.T == 0)
        return plan;
    plan.kernel = ScanKernel::sm90;
    plan.key_width = keys > 192 ? 256 : keys > 128 ? 192 : keys <= 64 && N <= 64 ? 64 : 128;
    const int64_t multiprocessors = multiprocessors_of(target);
    const int64_t pairs = shape.sequences * shape.H * scans;
    const int64_t packed = shape.sequences > shape.B ? shape.sequences : 1;
    const int64_t chunks = (shape.T / packed + 63) / 64;
    const double bytes = static_cast<double>(pairs * chunks * 64 * 2 * 2 * (keys + N));
    const auto with = [&](int tile, int segments) {
        ScanPlan p = plan;
        const int groups = tile / 64;
        const Sm90Shared shared(p.key_width, groups);
        p.tile = tile;
        p.segments = segments;
        p.cluster = shared.pairs && N > tile ? 2 : 1;
        p.chunk = Sm90Shared::kChunk;
        p.threads = (groups + 1) * 128;
        p.shared = shared.bytes;
        p.grid_x = multiprocessors * shared.blocks / p.cluster * p.cluster;
        p.grid_y = 1;
        return p;
    };
    const auto price = [&](const ScanPlan& p) {
        const int64_t blocks = pairs * ((N + p.tile - 1) / p.tile);
        const double traffic = bytes / 2.8e6;
        return scans == 1 ? forward_cost(p, blocks, chunks, multiprocessors, traffic)
                          : backward_cost(p, blocks, chunks, traffic);
    };
    // Half tiles make twice the blocks, which read a and b twice: from the L2, mostly.
    std::vector<std::pair<double, ScanPlan>> plans;
    double least = std::numeric_limits<double>::infinity();
    const bool wide = N > 64;
    for (const int tile : {128, 64}) {
        if (tile == 128 && !wide) continue;
        const int64_t most = std::min({int64_t{kMostSegments}, chunks / kFewestChunks,
                                       most_segments(target) / (shape.sequences * shape.H)});
        for (int segments = 1; segments <= std::max<int64_t>(1, most); ++segments) {
            const ScanPlan p = with(tile, segments);
            plans.emplace_back(price(p), p);
            least = std::min(least, plans.back().first);
        }
    }
    // The first, with the fewest blocks, of those that come out the same.
    ScanPlan best = std::find_if(plans.begin(), plans.end(), [&](const auto& p) {
                        return p.first <= 1.03 * least;
                    })->second;
    best.grid_x = std::min(best.grid_x, pairs * ((N + best.tile - 1) / best.tile) * best.segments);
    return best;
}

std::string describe(const ScanPlan& plan) {
    static constexpr const char* kNames[] = {"sm90", "tensor cores", "plain", "decode"};
    return fmt::format("{}: key width {}, tile {}, {} segment{}, {} blocks of {} threads{}, {} "
                       "bytes shared",
                       kNames[static_cast<int>(plan.kernel)], plan.key_width, plan.tile,
                       plan.segments, plan.segments == 1 ? "" : "s", plan.grid_x * plan.grid_y,
                       plan.threads, plan.cluster == 2 ? " in pairs" : "", plan.shared);
}

} // namespace tnl
