// Sums, copies and masks over rows and flat ranges on the CPU. Contracts: ops/kernels.h.
#pragma once

#include "ops/kernels.h"

namespace tnl::oracle {

void bias_forward(Stream&, Tensor y, Tensor bias);
void bias_backward(Stream&, Tensor dbias, Tensor dy);
void mask_rows(Stream&, Tensor y, Tensor mask);
void sum_squares(Stream&, Tensor out, Tensor x);
void sum(Stream&, Tensor out, Tensor x);
void add(Stream&, Tensor y, Tensor x);
void cast(Stream&, Tensor y, Tensor x);
void scale(Stream&, Tensor y, float factor);

} // namespace tnl::oracle

namespace tnl::fast {

void bias_forward(Stream&, Tensor y, Tensor bias);
void bias_backward(Stream&, Tensor dbias, Tensor dy);
void mask_rows(Stream&, Tensor y, Tensor mask);
void sum_squares(Stream&, Tensor out, Tensor x);
void sum(Stream&, Tensor out, Tensor x);
void add(Stream&, Tensor y, Tensor x);
void cast(Stream&, Tensor y, Tensor x);
void scale(Stream&, Tensor y, float factor);

} // namespace tnl::fast
