// Rotary positions (RoPE, 2104.09864 eq. 34) as Hugging Face's LLaMA has them: element i of a head
// is turned with element i + D/2, by the angle a_i = p base^(-2i/D):
//
//   y_i = x_i cos a_i - x_{i+D/2} sin a_i      y_{i+D/2} = x_{i+D/2} cos a_i + x_i sin a_i
//
// Angles are rounded as LRPE's are (lrpe.h): the rate base^(-2i/D) is an f32 number unless tensors
// are f64.
#pragma once

#include "tensor/device.h"

#include <vector>

namespace tnl {

void check_rope(const Tensor& y, const Tensor& x, const Tensor& positions, double base);
// base^(-2i/D), i < D/2
std::vector<double> rope_rates(int64_t D, double base);

namespace oracle {
void rope(Stream&, Tensor y, Tensor x, Tensor positions, double base, bool backward);
} // namespace oracle

} // namespace tnl
