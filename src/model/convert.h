// Numbers of a file, at any alignment, into numbers of a run.
#pragma once

#include "tensor/dtype.h"

#include <cstddef>
#include <cstdint>

namespace tnl {

// out[i] = in[i], i < n. from, to: f64, f32, bf16 or f16. `in` needs no alignment. Returns the
// index of the first result that is NaN or infinite, or -1. All n are written all the same.
int64_t convert_floats(DType to, void* out, DType from, const std::byte* in, int64_t n);

} // namespace tnl
