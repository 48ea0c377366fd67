// Lightning attention by the sm_90 kernel: whole calls, where plan_scan_sm90 says that it serves.
#pragma once

#include "cuda/stream.h"
#include "ops/lightning/lightning.h"
#include "ops/lightning/plan.h"

namespace tnl::cuda {

ScanTarget scan_target(const cudaDeviceProp& gpu); // of contiguous tensors
ScanTarget scan_target(const CudaStream& stream, const LightningForward& call);
ScanTarget scan_target(const CudaStream& stream, const LightningBackward& call);

// Bytes of the states between segments, a multiple of 256; they lie at `states`, device memory.
size_t sm90_state_bytes(const LightningShape& shape, const ScanPlan& plan, bool backward);
// At least that, for as many tokens in these or fewer sequences.
size_t sm90_most_state_bytes(const LightningShape& shape, const ScanTarget& target, bool backward);

// cu_seqlens: device memory, or null. states: sm90_state_bytes() of device memory.
void sm90_forward(const CudaStream& stream, const ScanPlan& plan, const LightningShape& shape,
                  const LightningForward& call, const int32_t* cu_seqlens, float* states);
void sm90_backward(const CudaStream& stream, const ScanPlan& plan, const LightningShape& shape,
                   const LightningBackward& call, const int32_t* cu_seqlens, float* states);

} // namespace tnl::cuda
