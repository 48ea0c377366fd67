// How one scan of lightning attention is cut for a GPU: a pure function of the request, so that it
// is tested where there is no GPU.
//
// Forward and backward are one operator. With scan(a, b, c) the causal product
//   out_i = sum over j <= i of lambda^(i-j) (a_i . b_j) c_j,   state = sum of lambda^. b_j^T c_j
// and ` the walk from the last token to the first:
//   o = scan(q, k, v), state S [D,E]        dq = scan(do, v, k), state S^T [E,D]
//   dv = scan`(k, q, do), state dS [D,E]    dk = scan`(v, do, q), state dS^T [E,D]
// K is the width of a and b, N that of c and out. A block walks one sequence of one head for one
// tile of N columns, the [K, tile] part of the state in its registers or shared memory in f32
// (f64).
#pragma once

#include "base/rng.h" // TNL_HOST_DEVICE
#include "ops/lightning/lightning.h"

#include <cstddef>
#include <string>

namespace tnl {

constexpr int64_t kMaxHeadWidth = 256;
constexpr size_t kMaxSharedMemory = 227 * 1024; // of one block on compute 9.0

enum class ScanKernel { sm90, tensor_cores, plain, decode };

struct ScanPlan {
    ScanKernel kernel = ScanKernel::plain;
    int key_width = 0; // K rounded up to a width that the kernel is built for
    int chunk = 0;     // tokens of a step
    int tile = 0;      // columns of a block
    int threads = 0;
    size_t shared = 0;              // dynamic shared memory, bytes
    int64_t grid_x = 0, grid_y = 0; // (sequence, head) pairs; tiles. sm90: blocks; 1
    int segments = 1;               // of a sequence, sm90 only
    int cluster = 1; // blocks that share what they fetch, sm90 only: both tiles of a head
};

// Throws if a width is above kMaxHeadWidth. decode: one token a sequence, forward.
ScanPlan plan_scan(int64_t sequences, int64_t heads, int64_t K, int64_t N, DType dtype,
                   bool decode);

// What a GPU and the layout of a call's tensors allow.
struct ScanTarget {
    int compute = 0;         // 90: compute capability 9.0
    int multiprocessors = 0; // 0: unknown
    bool boxes = false;      // rows can be moved by the bulk copy engine
};

// The sm_90 kernel for all scans of a forward (1) or a backward (3), or kernel plain where it does
// not serve: f32, f64, another GPU, tensors that the copy engine cannot read.
// Where (sequences, heads) are too few to fill the GPU, sequences are cut into segments that are
// walked side by side, after a first pass over k and v for the states between them.
ScanPlan plan_scan_sm90(const LightningShape& shape, int scans, const ScanTarget& target);

// States of a sequence's head at the ends of segments: no plan of plan_scan_sm90, of a shape with
// as many tokens in these or fewer sequences, has more (a plan without segments has none).
int64_t most_segment_states(const LightningShape& shape, const ScanTarget& target);

// "sm90: key width 128, tile 128, 4 segments, 64 blocks of 384 threads, 230240 bytes shared"
std::string describe(const ScanPlan& plan);

// Where the tensor-core kernel keeps its operands: offsets in elements of bf16. Rows are padded by
// 16 bytes so that eight of them, read by ldmatrix, lie in different banks.
struct MmaShared {
    static constexpr int kChunk = 64, kTile = 64, kPad = 8, kThreads = 256;
    int key_stride = 0;                              // of a and b
    static constexpr int kTileStride = kTile + kPad; // of the others
    size_t a = 0, b = 0, c = 0, state_high = 0, state_low = 0, product_high = 0, product_low = 0;
    size_t powers = 0; // f32 [kChunk + 1]
    size_t bytes = 0;

    TNL_HOST_DEVICE constexpr explicit MmaShared(int key_width) : key_stride(key_width + kPad) {
        size_t next = 0;
        const auto take = [&next](int rows, int stride) {
            const size_t at = next;
            next += static_cast<size_t>(rows) * static_cast<size_t>(stride);
            return at;
        };
        a = take(kChunk, key_stride);
        b = take(kChunk, key_stride);
        c = take(kChunk, kTileStride);
        state_high = take(key_width, kTileStride);
        state_low = take(key_width, kTileStride);
        product_high = take(kChunk, kTileStride);
        product_low = take(kChunk, kTileStride);
        powers = take(1, 2 * (kChunk + 8));
        bytes = 2 * next;
    }
};

// The plain kernel's, in elements of the sums' type. An odd stride keeps columns in different
// banks.
struct PlainShared {
    static constexpr int kChunk = 32, kTile = 32, kThreads = 256;
    int key_stride = 0;
    static constexpr int kProductStride = kChunk + 1;
    size_t a = 0, b = 0, c = 0, state = 0, product = 0, powers = 0, elements = 0;

    TNL_HOST_DEVICE constexpr explicit PlainShared(int K) : key_stride(K | 1) {
        const auto key = static_cast<size_t>(kChunk * key_stride);
        b = a + key;
        c = b + key;
        state = c + kChunk * kTile;
        product = state + static_cast<size_t>(K) * kTile;
        powers = product + kChunk * kProductStride;
        elements = powers + kChunk + 1;
    }
};

// The sm_90 kernel's, in bytes. Tiles of 64 rows of 128 bytes, swizzled, begin at multiples of
// 1024.
struct Sm90Shared {
    static constexpr int kChunk = 64, kTileBytes = 64 * 128;
    int blocks = 1;               // that share a multiprocessor
    int stages = 0, stage = 0;    // a, b, c of a chunk: how many at once, bytes of one
    bool pairs = false;           // blocks can be launched as clusters of two
    bool moves_registers = false; // from the warpgroup that fetches to those that multiply
    int b = 0, c = 0;             // within a stage; a is at 0
    int columns = 0;              // tiles of c
    int scores = 0, out = 0, powers = 0, barriers = 0;
    size_t bytes = 0;

    TNL_HOST_DEVICE constexpr Sm90Shared(int key_width, int groups)
        : blocks(key_width == 64 && groups == 1 ? 2 : 1), stages(key_width == 256   ? 2
                                                                 : key_width == 192 ? 3
                                                                 : blocks == 2      ? 3
                                                                                    : 4),
          pairs(key_width > 128 && groups == 2), moves_registers(blocks == 2 || groups == 2),
          b(key_width / 64 * kTileBytes), c(2 * b), columns(groups) {
        stage = c + columns * kTileBytes;
        scores = stages * stage;
        out = scores + 2 * kTileBytes;
        powers = out + columns * kTileBytes;
        barriers = powers + (kChunk + 8 + 4 * kChunk) * 4; // powers, the chunk's decay, tables
        bytes = static_cast<size_t>(barriers + 2 * stages * 8);
    }
};

struct DecodeShape {
    static constexpr int kTile = 32, kWideTile = 64, kThreads = 256;
    static constexpr int64_t kManyBlocks = 512; // that fill a GPU with wide tiles
};

} // namespace tnl
