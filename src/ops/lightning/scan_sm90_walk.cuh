// The sm_90 scan's way through the tokens: what a block works on, in which order, and the warpgroup
// that has the copy engine fetch it.
#pragma once

#include "cuda/hopper.cuh"
#include "ops/lightning/scan_sm90.h"

namespace tnl::cuda {

using namespace sm90;

constexpr int kChunk = Sm90Shared::kChunk, kTileBytes = Sm90Shared::kTileBytes;
constexpr int kWarpgroup = 128;

// One segment of one sequence, one head, one tile of columns, one scan.
struct Item {
    int scan, tile, head, segment, sequence;
    int tokens, each, walked; // of the sequence, of a segment, before this segment in the walk
    int batch, first, length; // first: the segment's first token in memory, within the batch row
    bool exists;

    // rank: of the block within its cluster, whose blocks have adjacent tiles.
    __device__ Item(const Sm90Arguments& p, int index, int segments, int rank) {
        scan = index % p.scans;
        index /= p.scans;
        tile = index % p.tiles * p.cluster;
        index /= p.tiles;
        head = index % p.heads;
        index /= p.heads;
        segment = index % segments;
        sequence = index / segments;
        const Sm90Scan& s = p.scan[scan];
        exists = tile < s.tiles; // a cluster's blocks all go on, if one has columns
        tile += rank;
        int begin = 0;
        tokens = p.tokens;
        batch = sequence;
        if (p.cu_seqlens) {
            batch = 0;
            begin = p.cu_seqlens[sequence];
            tokens = p.cu_seqlens[sequence + 1] - begin;
        }
        each = ((tokens + p.segments - 1) / p.segments + kChunk - 1) / kChunk * kChunk;
        walked = min(segment * each, tokens);
        length = min(each, tokens - walked);
        first = begin + (s.reverse ? tokens - walked - length : walked);
    }
    __device__ int chunks() const { return (length + kChunk - 1) / kChunk; }
    // Chunks whose tokens no longer count at the segment's end.
    __device__ int negligible_chunks(float slope) const {
        const float reach = kNegligible / slope; // infinite without decay
        return reach < static_cast<float>(length) - kChunk
                   ? (length - kChunk - static_cast<int>(reach)) / kChunk
                   : 0;
    }
};

// The r-th chunk of the walk: its first token within the segment and its length.
struct Chunk {
    int begin, rows;
    __device__ Chunk(const Item& item, bool reverse, int r)
        : begin((reverse ? item.chunks() - 1 - r : r) * kChunk),
          rows(min(kChunk, item.length - begin)) {}
};

// Where this block's items begin, in clusters, and how far apart they are.
__device__ inline int first_item(const Sm90Arguments& p) {
    return static_cast<int>(blockIdx.x) / p.cluster;
}
__device__ inline int item_step(const Sm90Arguments& p) {
    return static_cast<int>(gridDim.x) / p.cluster;
}

// The ring of stages that both sides step through.
struct Ring {
    int stage = 0;
    uint32_t parity = 0;
    __device__ void next(int stages) {
        if (++stage == stages) {
            stage = 0;
            parity ^= 1;
        }
    }
};

template <int kKeys, int kGroups> struct Block {
    static constexpr Sm90Shared kShared{kKeys, kGroups};
    unsigned char* shared;

    __device__ unsigned char* a(int stage) const { return shared + stage * kShared.stage; }
    __device__ unsigned char* b(int stage) const { return a(stage) + kShared.b; }
    __device__ unsigned char* c(int stage) const { return a(stage) + kShared.c; }
    __device__ unsigned char* scores(int i) const {
        return shared + kShared.scores + i * kTileBytes;
    }
    __device__ unsigned char* out(int group) const {
        return shared + kShared.out + group * kTileBytes;
    }
    __device__ float* powers() const { return reinterpret_cast<float*>(shared + kShared.powers); }
    __device__ float* out_factors() const { return powers() + kChunk + 8; }
    __device__ float* weights() const { return out_factors() + kChunk; }
    __device__ float* distances() const { return weights() + kChunk; } // -64..63
    __device__ uint64_t* full(int stage) const {
        return reinterpret_cast<uint64_t*>(shared + kShared.barriers) + stage;
    }
    __device__ uint64_t* empty(int stage) const { return full(kShared.stages + stage); }
};

template <int kKeys, int kGroups, bool kStatesOnly>
__device__ void fetch(const Sm90Arguments& p, const Block<kKeys, kGroups>& block) {
    constexpr Sm90Shared kShared{kKeys, kGroups};
    constexpr uint32_t kBytes =
        static_cast<uint32_t>(((kStatesOnly ? 1 : 2) * kKeys / 64 + kShared.columns) * kTileBytes);
    const int segments = kStatesOnly ? p.segments - 1 : p.segments;
    const int rank = kShared.pairs ? cluster_rank() : 0;
    const bool pair = kShared.pairs && p.cluster == 2;
    Ring ring;
    for (int index = first_item(p); index < p.items; index += item_step(p)) {
        const Item item(p, index, segments, rank);
        if (!item.exists) continue;
        const Sm90Scan& s = p.scan[item.scan];
        for (int r = kStatesOnly ? item.negligible_chunks(s.slopes[item.head]) : 0;
             r < item.chunks(); ++r) {
            const int token = item.first + Chunk(item, s.reverse, r).begin;
            uint64_t* const full = block.full(ring.stage);
            // Both blocks of a pair read a and b: each fetches half of the boxes.
            constexpr int kBoxes = (kStatesOnly ? 1 : 2) * kKeys / 64;
            const auto load_keys = [&](unsigned char* to, const CUtensorMap* map, int i, int box) {
                if (!pair)
                    load_box(to, map, full, i * 64, item.head, token, item.batch);
                else if (box / ((kBoxes + 1) / 2) == rank)
                    load_box_to_pair(to, map, full, i * 64, item.head, token, item.batch);
            };
            barrier_wait(block.empty(ring.stage), ring.parity ^ 1);
            barrier_expect(full, kBytes);
#pragma unroll
            for (int i = 0; i < kKeys / 64; ++i) {
                if constexpr (!kStatesOnly)
                    load_keys(block.a(ring.stage) + i * kTileBytes, &s.a, i, 2 * i);
                load_keys(block.b(ring.stage) + i * kTileBytes, &s.b, i,
                          kStatesOnly ? i : 2 * i + 1);
            }
#pragma unroll
            for (int i = 0; i < kShared.columns; ++i)
                load_box(block.c(ring.stage) + i * kTileBytes, &s.c, full,
                         (item.tile * kShared.columns + i) * 64, item.head, token, item.batch);
            ring.next(kShared.stages);
        }
    }
}

// Pack `pack` (16 bytes) of a tile's row.
__device__ inline unsigned char* swizzled(unsigned char* tile, int row, int pack) {
    return tile + row * kSwizzleRow + ((pack ^ (row & 7)) << 4);
}
// Where 16 keys of an operand begin.
__device__ inline int keys(int step) { return step / 4 * kTileBytes + step % 4 * 32; }

} // namespace tnl::cuda
