// The scan of plan.h on Hopper. A block walks one head's tokens, 64 at a time: one warpgroup has
// the copy engine fetch rows, stages ahead; the others multiply. Each of those owns 64 columns of c
// and keeps, transposed, everything of theirs in registers:
//
//   P^T [j,i] = b a^T, masked by lambda^(i-j)     shared among the warpgroups, through memory
//   o^T [n,i] = (S^T a^T) lambda^i + c^T P^T      S^T and c^T as register operands
//   S^T [n,k] = lambda^64 S^T + (c^T weighted) b
//
// so that the state never leaves the registers: f32 from the first token to the last, rounded only
// as an operand. docs/lightning.md has the picture and the reasons.
#include "cuda/hopper.cuh"
#include "cuda/launch.h"
#include "cuda/wgmma.cuh"
#include "ops/lightning/scan_sm90.h"

namespace tnl::cuda {
namespace {

using namespace sm90;

constexpr int kChunk = Sm90Shared::kChunk, kTileBytes = Sm90Shared::kTileBytes;
constexpr int kWarpgroup = 128;
constexpr int kAllBarrier = 1, kGroupBarrier = 2; // named barriers of the multiplying warpgroups

// ---- pairs of operands in one register ----

template <class T> __device__ uint32_t pack(float x, float y);
template <> __device__ uint32_t pack<__nv_bfloat16>(float x, float y) {
    const __nv_bfloat162 p = __floats2bfloat162_rn(x, y);
    return reinterpret_cast<const uint32_t&>(p);
}
template <> __device__ uint32_t pack<__half>(float x, float y) {
    const __half2 p = __floats2half2_rn(x, y);
    return reinterpret_cast<const uint32_t&>(p);
}
template <class T> __device__ float2 unpack(uint32_t x);
template <> __device__ float2 unpack<__nv_bfloat16>(uint32_t x) {
    return __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(x));
}
template <> __device__ float2 unpack<__half>(uint32_t x) {
    return __half22float2(reinterpret_cast<const __half2&>(x));
}

// ---- what a block works on ----

// One segment of one sequence, one head, one tile of columns, one scan.
struct Item {
    int scan, tile, head, segment, sequence;
    int tokens, each, walked; // of the sequence, of a segment, before this segment in the walk
    int batch, first, length; // first: the segment's first token in memory, within the batch row
    bool exists;

    __device__ Item(const Sm90Arguments& p, int index, int segments) {
        scan = index % p.scans;
        index /= p.scans;
        tile = index % p.tiles;
        index /= p.tiles;
        head = index % p.heads;
        index /= p.heads;
        segment = index % segments;
        sequence = index / segments;
        const Sm90Scan& s = p.scan[scan];
        exists = tile < s.tiles;
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
    __device__ uint64_t* full(int stage) const {
        return reinterpret_cast<uint64_t*>(shared + kShared.barriers) + stage;
    }
    __device__ uint64_t* empty(int stage) const { return full(kShared.stages + stage); }
};

// ---- the fetching warpgroup ----

template <int kKeys, int kGroups, bool kStatesOnly>
__device__ void fetch(const Sm90Arguments& p, const Block<kKeys, kGroups>& block) {
    constexpr Sm90Shared kShared{kKeys, kGroups};
    constexpr uint32_t kBytes =
        static_cast<uint32_t>(((kStatesOnly ? 1 : 2) * kKeys / 64 + kGroups) * kTileBytes);
    const int segments = kStatesOnly ? p.segments - 1 : p.segments;
    Ring ring;
    for (int index = static_cast<int>(blockIdx.x); index < p.items;
         index += static_cast<int>(gridDim.x)) {
        const Item item(p, index, segments);
        if (!item.exists) continue;
        const Sm90Scan& s = p.scan[item.scan];
        for (int r = kStatesOnly ? item.negligible_chunks(s.slopes[item.head]) : 0;
             r < item.chunks(); ++r) {
            const int token = item.first + Chunk(item, s.reverse, r).begin;
            uint64_t* const full = block.full(ring.stage);
            barrier_wait(block.empty(ring.stage), ring.parity ^ 1);
            barrier_expect(full, kBytes);
#pragma unroll
            for (int i = 0; i < kKeys / 64; ++i) {
                if constexpr (!kStatesOnly)
                    load_box(block.a(ring.stage) + i * kTileBytes, &s.a, full, i * 64, item.head,
                             token, item.batch);
                load_box(block.b(ring.stage) + i * kTileBytes, &s.b, full, i * 64, item.head, token,
                         item.batch);
            }
#pragma unroll
            for (int g = 0; g < kGroups; ++g)
                load_box(block.c(ring.stage) + g * kTileBytes, &s.c, full,
                         (item.tile * kGroups + g) * 64, item.head, token, item.batch);
            ring.next(kShared.stages);
        }
    }
}

// ---- the multiplying warpgroups ----

// exp(-slope n) without the loss of an f32 product.
__device__ float power(float slope, int n) {
    const double x = static_cast<double>(slope) * n;
    const float high = static_cast<float>(x);
    return expf(-high) * (1.0f - static_cast<float>(x - static_cast<double>(high)));
}

template <class T, int kKeys, int kGroups, bool kStatesOnly> class Multiplier {
  public:
    static constexpr Sm90Shared kShared{kKeys, kGroups};
    static constexpr int kSteps = kKeys / 16;          // of a product over keys
    static constexpr int kScoreColumns = 64 / kGroups; // of P^T, made by each warpgroup

    __device__ Multiplier(const Sm90Arguments& p_, const Block<kKeys, kGroups>& block_)
        : p(p_), block(block_), thread(static_cast<int>(threadIdx.x)), group(thread / kWarpgroup),
          warp(thread % kWarpgroup / 32), lane(thread % 32) {}

    __device__ void run() {
        const int segments = kStatesOnly ? p.segments - 1 : p.segments;
        for (int index = static_cast<int>(blockIdx.x); index < p.items;
             index += static_cast<int>(gridDim.x)) {
            const Item item(p, index, segments);
            if (item.exists) run(item);
        }
        if (elected()) wait_stores();
    }

  private:
    const Sm90Arguments& p;
    const Block<kKeys, kGroups>& block;
    const int thread, group, warp, lane;
    Ring ring;
    int buffer = 0;         // of the two of P
    float state[kKeys / 2]; // S^T: rows are columns of c

    __device__ bool elected() const { return thread % kWarpgroup == 0; }
    __device__ void sync_all() const { named_barrier(kAllBarrier, kGroups * kWarpgroup); }
    __device__ void sync_group() const { named_barrier(kGroupBarrier + group, kWarpgroup); }

    __device__ void run(const Item& item) {
        const Sm90Scan& s = p.scan[item.scan];
        const float slope = s.slopes[item.head];
        sync_all(); // the tables of the last item are read
        if (thread <= kChunk) block.powers()[thread] = power(slope, thread);
        int table_rows = -1;
        float mask[kScoreColumns / 2];
        sync_all();
        if constexpr (!kStatesOnly) fill_mask(mask, s);
        begin_state(item, s, slope);

        for (int r = kStatesOnly ? item.negligible_chunks(slope) : 0; r < item.chunks(); ++r) {
            const Chunk chunk(item, s.reverse, r);
            if (chunk.rows != table_rows) {
                if (table_rows >= 0) sync_all();
                fill_tables(s, chunk.rows);
                table_rows = chunk.rows;
                sync_all();
            }
            barrier_wait(block.full(ring.stage), ring.parity);
            if (chunk.rows < kChunk && (p.cu_seqlens || p.segments > 1)) clear_rows(chunk.rows);
            const float decay = block.powers()[chunk.rows];
            if constexpr (kStatesOnly)
                walk_state(decay);
            else
                walk(item, s, chunk, decay, mask);
            if (lane == 0) barrier_arrive(block.empty(ring.stage));
            ring.next(kShared.stages);
        }
        end_state(item, s);
    }

    // ---- decay ----

    __device__ void fill_mask(float (&mask)[kScoreColumns / 2], const Sm90Scan& s) const {
        const float scale = s.product_scale * s.out_scale;
#pragma unroll
        for (int x = 0; x < kScoreColumns / 2; ++x) {
            const int j = warp * 16 + lane / 4 + x % 4 / 2 * 8;
            const int i = group * kScoreColumns + x / 4 * 8 + lane % 4 * 2 + x % 2;
            const int distance = s.reverse ? j - i : i - j;
            mask[x] = distance >= 0 ? block.powers()[distance] * scale : 0.0f;
        }
    }
    // Factors of a chunk of `rows`, by the row in memory.
    __device__ void fill_tables(const Sm90Scan& s, int rows) const {
        if (thread >= kChunk) return;
        const float* powers = block.powers();
        const int walked = s.reverse ? rows - 1 - thread : thread; // negative: no such row
        const bool valid = walked >= 0 && walked < rows;
        block.out_factors()[thread] = valid ? powers[walked + 1 - s.shift] * s.out_scale : 0.0f;
        block.weights()[thread] =
            valid ? powers[rows - 1 - walked + s.shift] * s.product_scale : 0.0f;
    }
    __device__ float2 factor_pair(const float* table, int i) const {
        return *reinterpret_cast<const float2*>(table + i + lane % 4 * 2);
    }

    // ---- the state ----

    // f(value, key, column) for every element of this thread that exists.
    template <class F> __device__ void each(const Item& item, const Sm90Scan& s, F f) {
#pragma unroll
        for (int x = 0; x < kKeys / 2; ++x) {
            const int n = (item.tile * kGroups + group) * 64 + warp * 16 + lane / 4 + x % 4 / 2 * 8;
            const int k = x / 4 * 8 + lane % 4 * 2 + x % 2;
            if (n < s.N && k < s.K) f(state[x], k, n);
        }
    }
    __device__ int state_slot(const Item& item) const {
        return p.slots ? p.slots[item.sequence] : item.sequence;
    }
    __device__ void clear_state() {
#pragma unroll
        for (int x = 0; x < kKeys / 2; ++x) state[x] = 0.0f;
    }
    template <class A>
    __device__ void load(const Item& item, const Sm90Scan& s, const ScanState<A>& in, int slot) {
        if (!in.data || slot < 0) return;
        const float* from = in.data + slot * in.sequence + item.head * in.head;
        each(item, s,
             [&](float& value, int k, int n) { value = from[k * in.key + n * in.column]; });
    }
    __device__ void save(const Item& item, const Sm90Scan& s, const ScanState<float>& out, int slot,
                         int64_t offset) {
        float* to = out.data + slot * out.sequence + item.head * out.head + offset;
        each(item, s,
             [&](float& value, int k, int n) { to[k * out.key + n * out.column] = value; });
    }
    __device__ void begin_state(const Item& item, const Sm90Scan& s, float slope) {
        clear_state();
        if (item.segment == 0) {
            if constexpr (kStatesOnly) {
                load(item, s, s.state_in, state_slot(item));
                if (s.initial.data) save(item, s, s.initial, item.sequence, 0);
                if (item.negligible_chunks(slope) > 0) clear_state();
            } else if (p.segments > 1) {
                load(item, s, s.initial, item.sequence);
            } else {
                load(item, s, s.state_in, state_slot(item));
            }
            return;
        }
        if constexpr (kStatesOnly) return;
        // The segments before, the last one first, until their share has decayed away.
        const float* from =
            s.local.data + item.sequence * s.local.sequence + item.head * s.local.head;
        for (int segment = item.segment - 1; segment >= 0; --segment) {
            const int tokens = item.walked - min((segment + 1) * item.each, item.tokens);
            if (slope * static_cast<float>(tokens) > kNegligible) break;
            const float weight = power(slope, tokens);
            const float* local = from + segment * s.local_segment;
            each(item, s, [&](float& value, int k, int n) {
                value += weight * local[k * s.local.key + n * s.local.column];
            });
        }
    }
    __device__ void end_state(const Item& item, const Sm90Scan& s) {
        const ScanState<float>& to = kStatesOnly ? s.local : s.state_out;
        if (!to.data || (!kStatesOnly && item.segment != p.segments - 1)) return;
        const int slot = kStatesOnly ? item.sequence : state_slot(item);
        if (slot >= 0) save(item, s, to, slot, kStatesOnly ? item.segment * s.local_segment : 0);
    }

    // ---- one chunk ----

    // Rows of b and c behind the segment belong to the next one, or to the next sequence.
    __device__ void clear_rows(int rows) const {
        constexpr int kTiles = kKeys / 64 + kGroups;
        const int packs = (kChunk - rows) * 8;
        for (int i = thread; i < packs * kTiles; i += kGroups * kWarpgroup) {
            const int tile = i / packs, pack = i - tile * packs;
            unsigned char* const base =
                tile < kKeys / 64 ? block.b(ring.stage) + tile * kTileBytes
                                  : block.c(ring.stage) + (tile - kKeys / 64) * kTileBytes;
            *reinterpret_cast<uint4*>(base + rows * kSwizzleRow + pack * 16) = uint4{};
        }
        fence_async();
        sync_all();
    }
    // Pack `pack` (16 bytes) of a tile's row.
    static __device__ unsigned char* swizzled(unsigned char* tile, int row, int pack) {
        return tile + row * kSwizzleRow + ((pack ^ (row & 7)) << 4);
    }

    // c^T of this warpgroup's columns: tokens are the inner dimension.
    __device__ void load_columns(FragmentA (&c)[kChunk / 16]) const {
        unsigned char* const tile = block.c(ring.stage) + group * kTileBytes;
        const int matrix = lane / 8;
#pragma unroll
        for (int step = 0; step < kChunk / 16; ++step) {
            const int row = step * 16 + matrix / 2 * 8 + lane % 8;
            ldmatrix_transposed(c[step].r, reinterpret_cast<const Bf16*>(
                                               swizzled(tile, row, warp * 2 + matrix % 2)));
        }
    }
    __device__ void weigh(FragmentA (&c)[kChunk / 16]) const {
#pragma unroll
        for (int step = 0; step < kChunk / 16; ++step)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const float2 w = factor_pair(block.weights(), step * 16 + half * 8);
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    uint32_t& r = c[step].r[half * 2 + i];
                    const float2 x = unpack<T>(r);
                    r = pack<T>(x.x * w.x, x.y * w.y);
                }
            }
    }
    __device__ void add_to_state(FragmentA (&c)[kChunk / 16]) {
        const uint64_t b = describe(block.b(ring.stage), kTileBytes);
#pragma unroll
        for (int step = 0; step < kChunk / 16; ++step)
            Product<T, kKeys, 0, 1>::run(state, c[step], advance(b, step * 16 * kSwizzleRow), true);
        products_commit();
    }
    __device__ void walk_state(float decay) {
        FragmentA c[kChunk / 16];
        load_columns(c);
        weigh(c);
#pragma unroll
        for (int x = 0; x < kKeys / 2; ++x) state[x] *= decay;
        products_fence();
        add_to_state(c);
        products_wait<0>();
    }

    // Operand S^T. fp16 ends at 65504: rows beyond 2^14 are scaled down, `undo` (rows g, g + 8)
    // back.
    __device__ void round_state(FragmentA (&operand)[kSteps], float (&undo)[2]) const {
        float scale[2] = {1.0f, 1.0f};
        if constexpr (sizeof(T) == 2 && std::is_same_v<T, __half>) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                float most = 0.0f;
#pragma unroll
                for (int x = 0; x < kKeys / 2; ++x)
                    if (x % 4 / 2 == half) most = fmaxf(most, fabsf(state[x]));
                most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
                most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
                const int exponent = most > 16384.0f && most < INFINITY ? ilogbf(most) - 13 : 0;
                scale[half] = scalbnf(1.0f, -exponent);
                undo[half] = scalbnf(1.0f, exponent);
            }
        }
#pragma unroll
        for (int step = 0; step < kSteps; ++step)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int at = (step * 2 + i / 2) * 4 + i % 2 * 2;
                operand[step].r[i] =
                    pack<T>(state[at] * scale[i % 2], state[at + 1] * scale[i % 2]);
            }
    }

    __device__ void publish_scores(const float (&scores)[kScoreColumns / 2]) const {
        unsigned char* const tile = block.scores(buffer);
        const int matrix = lane / 8, row = warp * 16 + matrix % 2 * 8 + lane % 8;
#pragma unroll
        for (int n = 0; n < kScoreColumns / 8; n += 2) {
            const uint32_t r[4] = {pack<T>(scores[n * 4], scores[n * 4 + 1]),
                                   pack<T>(scores[n * 4 + 2], scores[n * 4 + 3]),
                                   pack<T>(scores[n * 4 + 4], scores[n * 4 + 5]),
                                   pack<T>(scores[n * 4 + 6], scores[n * 4 + 7])};
            stmatrix(swizzled(tile, row, group * (kScoreColumns / 8) + n + matrix / 2), r);
        }
        fence_async();
    }

    // o^T to memory as rows of tokens.
    __device__ void store_out(const Item& item, const Sm90Scan& s, const Chunk& chunk,
                              const float (&out)[32]) const {
        unsigned char* const tile = block.out(group);
        const int matrix = lane / 8;
#pragma unroll
        for (int n = 0; n < 8; n += 2) {
            const uint32_t r[4] = {
                pack<T>(out[n * 4], out[n * 4 + 1]), pack<T>(out[n * 4 + 2], out[n * 4 + 3]),
                pack<T>(out[n * 4 + 4], out[n * 4 + 5]), pack<T>(out[n * 4 + 6], out[n * 4 + 7])};
            const int row = (n + matrix / 2) * 8 + lane % 8;
            stmatrix_transposed(swizzled(tile, row, warp * 2 + matrix % 2), r);
        }
        const int column = (item.tile * kGroups + group) * 64, token = item.first + chunk.begin;
        if (chunk.rows == kChunk) {
            fence_async();
            sync_group();
            if (elected()) {
                store_box(&s.out, tile, column, item.head, token, item.batch);
                commit_stores();
            }
            return;
        }
        sync_group(); // a box would overwrite the tokens behind the sequence
        const int pack = thread % 8, x = column + pack * 8;
        for (int row = thread % kWarpgroup / 8; row < chunk.rows; row += kWarpgroup / 8) {
            const uint4 values = *reinterpret_cast<const uint4*>(swizzled(tile, row, pack));
            uint16_t* const to = s.out_rows.data + item.batch * s.out_rows.batch +
                                 (token + row) * s.out_rows.token + item.head * s.out_rows.head + x;
            if (x + 8 <= s.N) {
                *reinterpret_cast<uint4*>(to) = values;
            } else {
                const uint32_t words[4] = {values.x, values.y, values.z, values.w};
#pragma unroll
                for (int i = 0; i < 8; ++i)
                    if (x + i < s.N) to[i] = static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16));
            }
        }
    }

    __device__ void walk(const Item& item, const Sm90Scan& s, const Chunk& chunk, float decay,
                         const float (&mask)[kScoreColumns / 2]) {
        const uint64_t a = describe(block.a(ring.stage)), b = describe(block.b(ring.stage));
        const auto keys = [](int step) { return step / 4 * kTileBytes + step % 4 * 32; };

        FragmentA operand[kSteps];
        float undo[2] = {1.0f, 1.0f};
        round_state(operand, undo);
#pragma unroll
        for (int x = 0; x < kKeys / 2; ++x) state[x] *= decay;

        float scores[kScoreColumns / 2], out[32];
        products_fence();
#pragma unroll
        for (int step = 0; step < kSteps; ++step)
            Product<T, kScoreColumns, 0, 0>::run(
                scores, advance(b, keys(step)),
                advance(a, keys(step) + group * kScoreColumns * kSwizzleRow), step > 0);
        products_commit();
#pragma unroll
        for (int step = 0; step < kSteps; ++step)
            Product<T, 64, 0, 0>::run(out, operand[step], advance(a, keys(step)), step > 0);
        products_commit();

        products_wait<1>();
        pin(scores);
#pragma unroll
        for (int x = 0; x < kScoreColumns / 2; ++x) scores[x] *= mask[x];
        publish_scores(scores);
        if (elected()) wait_stores_read(); // the last chunk's o^T has left
        sync_all();

        FragmentA c[kChunk / 16];
        load_columns(c);
        products_wait<0>();
        pin(out);
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            const float2 f = factor_pair(block.out_factors(), n * 8);
#pragma unroll
            for (int i = 0; i < 4; ++i) out[n * 4 + i] *= (i % 2 ? f.y : f.x) * undo[i / 2];
        }
        const uint64_t product = describe(block.scores(buffer));
        products_fence();
#pragma unroll
        for (int step = 0; step < kChunk / 16; ++step)
            Product<T, 64, 0, 1>::run(out, c[step], advance(product, step * 16 * kSwizzleRow),
                                      true);
        products_commit();
        FragmentA weighted[kChunk / 16];
#pragma unroll
        for (int step = 0; step < kChunk / 16; ++step) weighted[step] = c[step];
        weigh(weighted);
        products_fence();
        add_to_state(weighted);

        products_wait<1>();
        pin(out);
        store_out(item, s, chunk, out);
        products_wait<0>();
        pin(state);
        buffer ^= 1;
    }
};

template <class T, int kKeys, int kGroups, bool kStatesOnly>
__global__ void __launch_bounds__((kGroups + 1) * kWarpgroup, Sm90Shared(kKeys, kGroups).blocks)
    scan_sm90_kernel(const __grid_constant__ Sm90Arguments p) {
    constexpr Sm90Shared kShared{kKeys, kGroups};
    extern __shared__ __align__(1024) unsigned char shared_bytes[];
    const Block<kKeys, kGroups> block{shared_bytes};
    if (threadIdx.x == 0) {
        for (int i = 0; i < kShared.stages; ++i) {
            barrier_init(block.full(i), 1);
            barrier_init(block.empty(i), kGroups * 4);
        }
        fence_barrier_init();
    }
    __syncthreads();
    if (threadIdx.x / kWarpgroup == kGroups) {
        if constexpr (kShared.moves_registers) lower_registers<kShared.blocks == 1 ? 24 : 40>();
        if (threadIdx.x % kWarpgroup == 0) fetch<kKeys, kGroups, kStatesOnly>(p, block);
    } else {
        if constexpr (kShared.moves_registers) raise_registers<kShared.blocks == 1 ? 240 : 208>();
        Multiplier<T, kKeys, kGroups, kStatesOnly>(p, block).run();
    }
}

template <class T, int kKeys, int kGroups>
void launch_scan(const CudaStream& stream, const ScanPlan& plan, const Sm90Arguments& p,
                 bool states_only) {
    const dim3 grid(
        static_cast<unsigned>(plan.grid_x < p.items ? plan.grid_x : static_cast<int64_t>(p.items)));
    const dim3 block((kGroups + 1) * kWarpgroup);
    if (states_only)
        launch(stream, scan_sm90_kernel<T, kKeys, kGroups, true>, grid, block, plan.shared, p);
    else
        launch(stream, scan_sm90_kernel<T, kKeys, kGroups, false>, grid, block, plan.shared, p);
}

template <class T>
void launch_widths(const CudaStream& stream, const ScanPlan& plan, const Sm90Arguments& p,
                   bool states_only) {
    if (plan.key_width == 64 && plan.tile == 64)
        return launch_scan<T, 64, 1>(stream, plan, p, states_only);
    if (plan.key_width == 128 && plan.tile == 64)
        return launch_scan<T, 128, 1>(stream, plan, p, states_only);
    if (plan.key_width == 128 && plan.tile == 128)
        return launch_scan<T, 128, 2>(stream, plan, p, states_only);
    fail("lightning attention: no sm_90 kernel of key width {} and tile {}", plan.key_width,
         plan.tile);
}

} // namespace

void scan_sm90(const CudaStream& stream, const ScanPlan& plan, DType dtype, const Sm90Arguments& p,
               bool states_only) {
    if (dtype == DType::bf16) return launch_widths<__nv_bfloat16>(stream, plan, p, states_only);
    if (dtype == DType::f16) return launch_widths<__half>(stream, plan, p, states_only);
    fail("lightning attention: the sm_90 kernel is for bf16 and f16, not {}", name_of(dtype));
}

} // namespace tnl::cuda
