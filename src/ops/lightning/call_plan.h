// Which kernel takes a whole call on a GPU: pure functions of shapes and layouts, for the calls
// themselves and for what is told about them.
#pragma once

#include "ops/lightning/plan.h"

namespace tnl {

// Rows of 2-byte elements that the bulk copy engine can move: 16-byte multiples everywhere.
bool has_boxes(const Tensor& x);

// `gpu` with what the tensors of a call allow.
ScanTarget target_for(ScanTarget gpu, const LightningForward& call);
ScanTarget target_for(ScanTarget gpu, const LightningBackward& call);

// step: a forward of one token a sequence.
enum class LightningPass { forward, backward, step };
LightningPass pass_of(const LightningForward& call);

// Of kernel sm90: the plan of all scans of the call. Else that of its first scan; the others differ
// in their widths alone.
ScanPlan plan_call(const LightningShape& shape, LightningPass pass, const ScanTarget& target);

} // namespace tnl
