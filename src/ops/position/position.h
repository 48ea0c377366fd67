// LRPE-d on the CPU. Contracts: ops/kernels.h; angles: ops/position/lrpe.h.
#pragma once

#include "ops/kernels.h"

#include <vector>

namespace tnl {

namespace oracle {
void lrpe_forward(Stream&, Tensor y, Tensor x, Tensor theta, Tensor positions);
void lrpe_backward(Stream&, Tensor dx, Tensor dtheta, Tensor dy, Tensor x, Tensor theta,
                   Tensor positions);
} // namespace oracle
namespace fast {
void lrpe_forward(Stream&, Tensor y, Tensor x, Tensor theta, Tensor positions);
void lrpe_backward(Stream&, Tensor dx, Tensor dtheta, Tensor dy, Tensor x, Tensor theta,
                   Tensor positions);
} // namespace fast

// Throws unless doubled [N,H,2D], x [N,H,D], theta [H,D] and positions [N] i32 fit.
void check_lrpe(const Tensor& doubled, const Tensor& x, const Tensor& theta,
                const Tensor& positions);
// theta [H,D] of any float dtype, row by row.
std::vector<double> theta_values(const Tensor& theta);

} // namespace tnl
