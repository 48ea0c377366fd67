// Rows of a table by id on the CPU. Contracts: ops/kernels.h.
#pragma once

#include "ops/kernels.h"

namespace tnl {

namespace oracle {
void embed_forward(Stream&, Tensor y, Tensor table, Tensor ids, float scale);
void embed_backward(Stream&, Tensor dtable, Tensor dy, Tensor ids, float scale);
} // namespace oracle
namespace fast {
void embed_forward(Stream&, Tensor y, Tensor table, Tensor ids, float scale);
void embed_backward(Stream&, Tensor dtable, Tensor dy, Tensor ids, float scale);
} // namespace fast

// Throws unless rows [N,C], table [V,C] and ids [N] i32 fit.
void check_embed(const Tensor& rows, const Tensor& table, const Tensor& ids);

} // namespace tnl
