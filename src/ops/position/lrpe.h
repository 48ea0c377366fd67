// The angle of LRPE-d, one definition for every backend.
//
// The released code forms theta * position in f32, which rounds the angle by up to p * 6e-8 rad. To
// meet its recorded outputs the product is rounded likewise below 2^16 positions; beyond, where
// that rounding would exceed 4e-3 rad and spoil the relative encoding, it is kept in f64. The
// encoding is relative: positions may count from any origin.
#pragma once

#include "base/rng.h"

#include <cstdint>

namespace tnl {

constexpr int32_t kExactAngleFrom = 1 << 16;

// In f64, for a theta stored as f32 or bf16. (f64 tensors multiply in f64 throughout.)
TNL_HOST_DEVICE inline double lrpe_angle(float theta, int32_t position) {
    if (position < kExactAngleFrom)
        return static_cast<double>(theta * static_cast<float>(position));
    return static_cast<double>(theta) * position;
}
TNL_HOST_DEVICE inline double lrpe_angle(double theta, int32_t position) {
    return theta * position;
}

} // namespace tnl
