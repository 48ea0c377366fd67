// Products of a few rows, with what stands before and after them in a layer. Contract:
// ops/kernels.h. On a GPU a step of writing takes as long as reading the weights, if nothing makes
// the memory wait: one kernel instead of two or three for each product, each of which has its first
// weights on their way before the kernel in front of it ends.
#pragma once

#include "ops/kernels.h"

namespace tnl {

namespace oracle {
void few_rows(Stream&, const FewRows&);
} // namespace oracle

// Throws naming the tensor that does not fit; where a, b, c and g are without data, too.
struct FewRowsShape {
    int64_t M = 0, N = 0, K = 0; // N: rows of b
    int64_t columns = 0;         // of c: N, or N / 2 with a gate
};
FewRowsShape check_few_rows(const FewRows& call);

// How the product is cut for a GPU. Two rows of b belong together ("pair"): neighbours, or with a
// gate those of one column of c. A pair is the work of `splits` warps of one block, each of which
// sums over a part of K; blocks take pairs in turn.
struct FewRowsPlan {
    static constexpr int kWarps = 8; // of a block
    // Blocks that a multiprocessor holds, by registers, of the kernel for M rows.
    static constexpr int resident(int64_t M) { return M <= 2 ? 4 : M <= 4 ? 3 : 2; }
    int64_t pairs = 0;
    int splits = 1;          // 1, 2, 4 or 8
    int64_t split_packs = 0; // packs of a row of b that a warp sums over
    int64_t blocks = 0;
    int64_t shared = 0; // bytes: the rows of a as the product reads them
    int64_t pairs_per_block() const { return kWarps / splits; }
};
// pack: elements that move together; element: bytes; sms: multiprocessors of the GPU.
FewRowsPlan plan_few_rows(const FewRowsShape& shape, bool gate, int pack, int64_t element, int sms);

// Rows of a that fit into a block's memory beside those of the blocks around it.
bool fits_few_rows(int64_t M, int64_t K, int64_t element);

} // namespace tnl
