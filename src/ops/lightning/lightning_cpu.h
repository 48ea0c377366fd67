// The CPU entries of the lightning operator.
#pragma once

#include "ops/lightning/lightning.h"
#include "ops/lightning/lightning_simd.h"
#include "tensor/device.h"

namespace tnl {

// Token by token, every dtype: what the rest is tested against.
void lightning_forward_oracle(Stream& stream, const LightningForward& call);
void lightning_backward_oracle(Stream& stream, const LightningBackward& call);

// Chunked, multi-threaded, vectorised, in f32 and bf16 with sums and states in f32; f64 goes to the
// oracle. Where the processor multiplies bf16 (AVX512_BF16), products of bf16 tensors are of bf16
// numbers: what they read of the state and of Q K^T is rounded to it (lightning_bf16.h).
// Numbers below 1e-38 count as zero. The results depend on the thread count only where there are
// fewer sequences times heads than threads (scan_cpu.h).
void lightning_forward_cpu(Stream& stream, const LightningForward& call);
void lightning_backward_cpu(Stream& stream, const LightningBackward& call);
size_t lightning_workspace_cpu(const LightningShape& shape, bool backward); // 0
// How a call would run, in words. f16, which the entries do not take, is told as f32 is.
std::string lightning_plan_cpu(const LightningShape& shape, const Tensor& cu_seqlens, bool backward,
                               int threads);

// With the loops of one instruction set; f32 and bf16.
void lightning_forward_with(const LightningLoops& loops, Stream& stream,
                            const LightningForward& call);
void lightning_backward_with(const LightningLoops& loops, Stream& stream,
                             const LightningBackward& call);

} // namespace tnl
