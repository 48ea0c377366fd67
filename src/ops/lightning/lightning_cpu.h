// The CPU entries of the lightning operator.
#pragma once

#include "ops/lightning/lightning.h"
#include "tensor/device.h"

namespace tnl {

// Token by token, every dtype: what the rest is tested against.
void lightning_forward_oracle(Stream& stream, const LightningForward& call);
void lightning_backward_oracle(Stream& stream, const LightningBackward& call);

// Chunked, multi-threaded, vectorised.
void lightning_forward_cpu(Stream& stream, const LightningForward& call);
void lightning_backward_cpu(Stream& stream, const LightningBackward& call);
size_t lightning_workspace_cpu(const LightningShape& shape, bool backward);

} // namespace tnl
