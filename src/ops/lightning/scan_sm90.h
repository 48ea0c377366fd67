// The arguments of the sm_90a scan kernel (plan.h says what a scan is) and its launcher. Up to
// three scans run as one launch: the backward's dk, dv and dq.
#pragma once

#include "ops/lightning/scan_cuda.h"

#include <cuda.h>

namespace tnl::cuda {

struct Sm90Scan {
    CUtensorMap a, b, c, out;        // boxes of 64 columns of one head, 64 tokens
    ScanRows<uint16_t> out_rows;     // `out` again, for the rows of a short chunk
    const float* slopes = nullptr;   // [heads]
    ScanState<const float> state_in; // read by the first segment alone
    ScanState<float> state_out;      // written by the last segment; may be state_in's memory
    // Where there are segments: state_in again, by sequence, copied by the first pass, since one
    // block of the second may be done with state_out before another has begun with state_in.
    ScanState<float> initial;
    ScanState<float> local;      // each segment's own state, but the last one's
    int64_t local_segment = 0;   // elements from one segment's to the next one's
    int K = 0, N = 0, tiles = 0; // tiles of plan.tile columns
    bool reverse = false;
    int shift = 0;
    float out_scale = 1, product_scale = 1;
};

struct Sm90Arguments {
    static constexpr int kMaxScans = 3;
    Sm90Scan scan[kMaxScans];
    const int32_t* cu_seqlens = nullptr; // device memory; null: every sequence has `tokens`
    const int32_t* slots = nullptr;      // device memory, optional: see LightningForward
    int scans = 0, sequences = 0, heads = 0, tokens = 0;
    int segments = 1; // parts that a sequence is cut into, walked side by side
    int tiles = 0;    // the largest of the scans', in clusters
    int cluster = 1;  // blocks of adjacent tiles that fetch a and b for each other
    int items = 0;    // (sequence, segment, head, tile, scan), of a cluster
};

// Of a token's contribution to a state, what is left after this many nats of decay is dropped where
// the state of a whole segment is made: e^-44.4 = 2^-64, and f32 sums keep 2^-24.
constexpr float kNegligible = 44.4f;

// [.., token, head, width] rows as boxes of 64 columns, 128-byte swizzled. Throws tnl::Error.
CUtensorMap scan_map(const void* data, DType dtype, int64_t batches, int64_t batch, int64_t tokens,
                     int64_t token, int64_t heads, int64_t head, int64_t width);

void scan_sm90(const CudaStream& stream, const ScanPlan& plan, DType dtype,
               const Sm90Arguments& arguments, bool states_only);

} // namespace tnl::cuda
