#include "ops/lightning/plan.h"

#include <fmt/format.h>

#include <algorithm>

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
        plan.tile = DecodeShape::kTile;
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

// Microseconds, measured on an H100: a chunk of a lone block; all of the chip's memory traffic of
// 64 tokens of a head; another pass.
struct SegmentCosts {
    double chunk, traffic, pass;
};

// The number of segments that takes the least time. One more pass costs its launch and half of the
// traffic; it is worth it where few blocks would walk long sequences.
int choose_segments(int64_t blocks, int64_t chunks, int64_t capacity, const SegmentCosts& cost) {
    const auto seconds = [&](int64_t segments) {
        const double walks = static_cast<double>((chunks + segments - 1) / segments);
        const double waves = static_cast<double>((blocks * segments + capacity - 1) / capacity);
        const double all = static_cast<double>(blocks * chunks);
        const double main = std::max(walks * waves * cost.chunk, all * cost.traffic);
        if (segments == 1) return main;
        const double share = static_cast<double>(segments - 1) / static_cast<double>(segments);
        const double first =
            std::max(walks * waves * cost.chunk * 0.6, all * share * cost.traffic * 0.5);
        return main + first + cost.pass;
    };
    int64_t best = 1;
    for (int64_t segments = 2; segments <= 64 && segments * 4 <= chunks; ++segments)
        if (seconds(segments) < 0.95 * seconds(best)) best = segments;
    return static_cast<int>(best);
}

} // namespace

ScanPlan plan_scan_sm90(const LightningShape& shape, int scans, const ScanTarget& target) {
    ScanPlan plan;
    const int64_t K = std::max(shape.D, shape.E), N = scans == 1 ? shape.E : K;
    const int64_t keys = scans == 1 ? shape.D : K;
    const bool typed = shape.dtype == DType::bf16 || shape.dtype == DType::f16;
    if (target.compute != 90 || !target.boxes || !typed || K > 128 || K < 1 || shape.T == 0)
        return plan;
    plan.kernel = ScanKernel::sm90;
    plan.key_width = keys <= 64 && N <= 64 ? 64 : 128;
    const int64_t capacity_wide = target.multiprocessors > 0 ? target.multiprocessors : 132;
    const int64_t pairs = shape.sequences * shape.H * scans;
    // Half tiles double the blocks, which read a and b twice: from the L2, mostly.
    const bool wide = N > 64;
    plan.tile = wide ? 128 : 64;
    const Sm90Shared shared(plan.key_width, plan.tile / 64);
    const int64_t capacity = capacity_wide * shared.blocks;
    const int64_t tiles = (N + plan.tile - 1) / plan.tile;
    plan.chunk = Sm90Shared::kChunk;
    plan.threads = (plan.tile / 64 + 1) * 128;
    plan.shared = shared.bytes;
    const int64_t chunks = (shape.T / (shape.sequences > shape.B ? shape.sequences : 1) + 63) / 64;
    const double bytes = 64.0 * 2 * static_cast<double>(2 * keys + 2 * N);
    plan.segments = choose_segments(pairs * tiles, chunks, capacity,
                                    {plan.key_width == 64 ? 0.7 : 1.2, bytes / 2.7e6, 6.0});
    plan.grid_x = std::min(capacity, pairs * tiles * plan.segments);
    plan.grid_y = 1;
    return plan;
}

std::string describe(const ScanPlan& plan) {
    static constexpr const char* kNames[] = {"sm90", "tensor cores", "plain", "decode"};
    return fmt::format("{}: key width {}, tile {}, {} segment{}, {} blocks of {} threads, {} bytes "
                       "shared",
                       kNames[static_cast<int>(plan.kernel)], plan.key_width, plan.tile,
                       plan.segments, plan.segments == 1 ? "" : "s", plan.grid_x * plan.grid_y,
                       plan.threads, plan.shared);
}

} // namespace tnl
