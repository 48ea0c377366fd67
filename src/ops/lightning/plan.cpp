#include "ops/lightning/plan.h"

namespace tnl {

ScanPlan plan_scan(int64_t sequences, int64_t heads, int64_t K, int64_t N, DType dtype,
                   bool decode) {
    TNL_CHECK(K >= 1 && K <= kMaxHeadWidth && N >= 1 && N <= kMaxHeadWidth,
              "lightning attention on a GPU: head widths {} and {}, wanted 1 to {}", K, N,
              kMaxHeadWidth);
    TNL_CHECK(dtype == DType::f64 || dtype == DType::f32 || dtype == DType::bf16,
              "lightning attention on a GPU: dtype {}, wanted f64, f32 or bf16", name_of(dtype));
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
        plan.shared = shared.elements * static_cast<size_t>(size_of(dtype));
    }
    plan.grid_x = sequences * heads;
    plan.grid_y = (N + plan.tile - 1) / plan.tile;
    return plan;
}

} // namespace tnl
