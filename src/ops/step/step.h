// One token of one sequence through the whole model, from its id to the next one's scores: what is
// made again and again when a text is written. Contract: DecodeStep in ops/kernels.h. On a GPU it
// is one kernel that does not end between layers, so that the weights of a layer are on their way
// while the layer before waits for its sums (step_sm90.cu).
#pragma once

#include "base/rng.h"
#include "ops/kernels.h"

#include <array>
#include <optional>

namespace tnl {

namespace oracle {
void decode_step(Stream&, const DecodeStep&);
} // namespace oracle

// Throws naming the tensor that does not fit; returns the shape.
StepShape check_decode_step(const DecodeStep& call);

// The products of a step, in their order within a layer; the head comes once, at the end.
enum class StepProduct { qkvu, out, uv, down, head };
constexpr int kStepProducts = 5;

// How the step is cut for a GPU. All its blocks are resident at once, one a multiprocessor, and
// share out each product by rows of the weights. Two rows belong together ("pair"): neighbours, or
// of uv those that are multiplied. Block b of P has pairs [b pairs / P, (b + 1) pairs / P); of
// these, one is the work of `splits` warps at a time, each of which sums over a part of the row.
struct StepPlan {
    static constexpr int kWarps = 16, kThreads = kWarps * 32; // that multiply; others fetch
    static constexpr int kAtOnce = 4;       // pairs whose sums a warp makes together
    static constexpr int64_t kPiece = 2048; // bytes of a row that a slot of the ring holds
    // Pairs of pieces on their way to a warp: so many of kPiece; of codes, which are shorter, as
    // many as there is memory for.
    static constexpr int64_t kSlots = 3, kMostSlots = 6;
    static constexpr int64_t kColumns = 8;    // of a head's state: what a block takes at once
    static constexpr int64_t kMostStates = 8; // packs of 4 numbers of states that a thread holds
    static constexpr int64_t kMostGroups = 16;
    static constexpr int64_t kMostLayers = 96;
    static constexpr int64_t kMostVectors = 4; // of 4 numbers of a row that a thread holds
    struct Product {
        QuantFormat format = QuantFormat::none;
        int64_t pairs = 0, rows = 0; // rows: of the weights
        int64_t row_bytes = 0;
        int64_t piece_bytes = 0; // of a row that are fetched at once, at most kPiece
        int splits = 1;          // 1, 2, 4, 8 or 16
        int64_t split_bytes = 0; // of a row, for each of the warps: packs of 16, or blocks of codes
    };
    std::array<Product, kStepProducts> products{};
    // Blocks of codes of a piece.
    TNL_HOST_DEVICE static constexpr int blocks_of(QuantFormat format) {
        return format == QuantFormat::int4 ? 2 : 1;
    }
    int64_t blocks = 0;
    int64_t groups = 0;                      // of kColumns columns, of all heads
    int64_t groups_most = 0, pairs_most = 0; // of a block: groups; pairs of rows of C
    int64_t vectors = 0, states = 0;         // of a thread, as in kMostVectors and kMostStates
    int64_t row_bytes = 0;                   // shared memory for a row, or for attention
    int64_t slots = 0, slot_bytes = 0;       // of a warp's ring: at least kSlots; both rows' pieces
    int64_t shared = 0;                      // bytes
};
// Absent where the kernel does not serve: see step.cpp.
std::optional<StepPlan> plan_decode_step(const StepShape& shape, int sms, int64_t shared_memory);

// A warp's part of one product: pairs first, first + stride, ... below end; bytes [begin, stop) of
// each of their rows.
struct StepSpan {
    int first, end, stride, begin, stop;
};
// Block `block` of `blocks`, warp `warp`.
TNL_HOST_DEVICE inline StepSpan step_span(int pairs, int row_bytes, int splits, int split_bytes,
                                          int block, int blocks, int warp) {
    StepSpan span{};
    span.first = static_cast<int>(int64_t{pairs} * block / blocks) + warp / splits;
    span.end = static_cast<int>(int64_t{pairs} * (block + 1) / blocks);
    span.stride = StepPlan::kWarps / splits;
    span.begin = warp % splits * split_bytes;
    span.stop = span.begin + split_bytes < row_bytes ? span.begin + split_bytes : row_bytes;
    return span;
}

// What blocks tell each other, in the workspace: 4 bytes a number, and beside them the step's
// count. Rows are sent in kCopies, each for as many of the blocks, who would else all ask the same
// place for the same line.
struct StepMail {
    static constexpr int64_t kCopies = 4;
    int64_t best = 0, x = 0, qkvu = 0, o = 0, h = 0; // bytes from the beginning; rows: first copies
    int64_t copy_bytes = 0;                          // from one copy of the rows to the next
    int64_t bytes = 0;
};
StepMail mail_of(const StepShape& shape);

} // namespace tnl
