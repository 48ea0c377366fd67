// How lightning attention is cut for the threads of a CPU: a pure function of the request.
#pragma once

#include "ops/lightning/lightning_simd.h"

namespace tnl {

// The scans of one call: of up to `longest` tokens each, together `tokens`, of key width K and N
// columns in panels of `panel`.
struct ScanRequest {
    int64_t longest = 0, tokens = 0, K = 0, N = 0, panel = 16;
    int threads = 1;
};

// Columns are independent of each other, but each block of them computes P = (x y^T) . M anew.
// Segments of the sequence are walked at the same time, after a walk over each for its state alone.
// Blocks of columns leave every bit of a scan as it is, segments do not.
struct ScanCut {
    int64_t blocks = 1, segments = 1;
    friend bool operator==(const ScanCut&, const ScanCut&) = default;
};
ScanCut cut_scan(const ScanRequest& request);

// Multiplications per token of a scan over N columns with its outputs, and of the state alone.
double scan_work(int64_t K, int64_t N);
double state_work(int64_t K, int64_t N);

LightningDecay lightning_decay(double slope);

// The decay of m tokens, lambda^m = keep + change, as in LightningDecay.
struct StateDecay {
    float keep, change;
};
StateDecay state_decay(double slope, int64_t m);

} // namespace tnl
