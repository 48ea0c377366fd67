// What a device does at most, measured: the denominators of shares of speed.
#pragma once

#include "ops/kernels.h"

#include <functional>

namespace tnl {

// Seconds of one call of f, which gives work to the device: the median of batches of calls.
double seconds_of_call(Device& device, const std::function<void()>& f);

// Bytes read and written per second by copies within the device's memory. Takes 2 GiB of it
// meanwhile, 512 MiB on a CPU.
double copy_bandwidth(Device& device);

// Operations per second of one large product of random matrices: three of 8192 x 8192, 384 MiB in
// bf16, or on a CPU of 2048 x 2048. A GPU's clocks give way under such products, so that this is
// less than what its data sheet says.
double product_rate(Device& device, DType dtype);

} // namespace tnl
