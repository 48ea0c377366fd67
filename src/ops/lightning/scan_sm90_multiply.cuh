// The sm_90 scan's arithmetic: one of the warpgroups that multiply (scan_sm90.cu says what).
#pragma once

#include "cuda/wgmma.cuh"
#include "ops/lightning/scan_sm90_state.cuh"
#include "ops/lightning/scan_sm90_walk.cuh"

namespace tnl::cuda {

constexpr int kAllBarrier = 1, kGroupBarrier = 2; // named barriers of the multiplying warpgroups

template <class T, int kKeys, int kGroups, bool kStatesOnly> class Multiplier {
  public:
    static constexpr Sm90Shared kShared{kKeys, kGroups};
    static constexpr int kSteps = kKeys / 16;          // of a product over the keys
    static constexpr int kScoreColumns = 64 / kGroups; // of P^T, made by each warpgroup
    // Beyond 128 keys there are registers for the state and little else.
    static constexpr bool kWide = kKeys > 128;

    __device__ Multiplier(const Sm90Arguments& p_, const Block<kKeys, kGroups>& block_)
        : p(p_), block(block_), thread(static_cast<int>(threadIdx.x)), group(thread / kWarpgroup),
          warp(thread % kWarpgroup / 32), lane(thread % 32),
          rank(kShared.pairs ? cluster_rank() : 0) {}

    __device__ void run() {
        const int segments = kStatesOnly ? p.segments - 1 : p.segments;
        for (int index = first_item(p); index < p.items; index += item_step(p)) {
            const Item item(p, index, segments, rank);
            if (item.exists) run(item);
        }
        if (elected()) wait_stores();
    }

  private:
    const Sm90Arguments& p;
    const Block<kKeys, kGroups>& block;
    const int thread, group, warp, lane, rank;
    Ring ring;
    float state[kKeys / 2]; // S^T: rows are columns of c

    __device__ bool elected() const { return thread % kWarpgroup == 0; }
    __device__ void sync_all() const { named_barrier(kAllBarrier, kGroups * kWarpgroup); }
    // This warpgroup's first column of c.
    __device__ int column(const Item& item) const {
        return (item.tile * kShared.columns + group) * 64;
    }
    __device__ void sync_group() const { named_barrier(kGroupBarrier + group, kWarpgroup); }

    __device__ void run(const Item& item) {
        const Sm90Scan& s = p.scan[item.scan];
        const float slope = s.slopes[item.head];
        sync_all(); // the tables of the last item are read
        fill_powers(s, slope);
        sync_all();
        begin_state(item, s, slope);
        if ((kStatesOnly || !kWide) && is_slow(slope))
            run_chunks<true>(item, s, slope);
        else
            run_chunks<false>(item, s, slope);
        end_state(item, s);
    }

    template <bool kSlow>
    __device__ void run_chunks(const Item& item, const Sm90Scan& s, float slope) {
        if constexpr (kStatesOnly) {
            run_states<kSlow>(item, s, item.negligible_chunks(slope));
        } else if (item.chunks() > 0) {
            if constexpr (kWide)
                run_wide_chunks(item, s);
            else
                run_narrow_chunks<kSlow>(item, s);
        }
    }
    template <bool kSlow>
    __device__ void run_states(const Item& item, const Sm90Scan& s, int first) {
        int table_rows = -1;
        for (int r = first; r < item.chunks(); ++r) {
            const Chunk chunk(item, s.reverse, r);
            if (chunk.rows != table_rows) {
                sync_all();
                fill_tables(item, s, table_rows = chunk.rows);
                sync_all();
            }
            await(chunk.rows);
            walk_state<kSlow>(chunk_decay());
            release(ring.stage);
            ring.next(kShared.stages);
        }
    }

    // Each chunk's scores are made while the tensor cores are busy with the chunk before it.
    template <bool kSlow> __device__ void run_narrow_chunks(const Item& item, const Sm90Scan& s) {
        Chunk chunk(item, s.reverse, 0);
        fill_tables(item, s, chunk.rows);
        await(chunk.rows);
        {
            float scores[kScoreColumns / 2];
            products_fence();
            multiply_scores(scores, ring.stage);
            products_commit();
            products_wait<0>();
            pin(scores);
            publish_scores(scores, 0);
        }
        int buffer = 0;
        for (int r = 0; r < item.chunks(); ++r) {
            const int stage = ring.stage;
            ring.next(kShared.stages);
            Chunk next = chunk;
            const bool more = r + 1 < item.chunks();
            if (more) {
                next = Chunk(item, s.reverse, r + 1);
                await(next.rows);
            }
            walk<kSlow>(item, s, chunk, stage, more ? ring.stage : stage, more, buffer);
            release(stage);
            if (next.rows != chunk.rows) {
                sync_all();
                fill_tables(item, s, next.rows);
            }
            chunk = next;
            buffer ^= 1;
        }
    }
    // With registers for little but the state, scores stay where they are until the next chunk's
    // products have begun.
    __device__ void run_wide_chunks(const Item& item, const Sm90Scan& s) {
        const bool has_columns = column(item) < s.N;
        Chunk chunk(item, s.reverse, 0);
        fill_tables(item, s, chunk.rows);
        sync_all();
        await(chunk.rows);
        float scores[kScoreColumns / 2];
        products_fence();
        multiply_scores(scores, ring.stage);
        products_commit();
        products_wait<0>();
        pin(scores);
        for (int r = 0; r < item.chunks(); ++r) {
            const int stage = ring.stage;
            ring.next(kShared.stages);
            const bool more = r + 1 < item.chunks();
            const Chunk next(item, s.reverse, more ? r + 1 : r);
            if (has_columns)
                walk_wide(item, s, chunk, stage, next.rows, more, r % 2, scores);
            else
                walk_scores(stage, next.rows, more, r % 2, scores);
            if (next.rows != chunk.rows) {
                sync_all();
                fill_tables(item, s, next.rows);
                sync_all();
            }
            chunk = next;
        }
    }

    // The stage that the ring is at, with a chunk of `rows`.
    __device__ void await(int rows) const {
        barrier_wait(block.full(ring.stage), ring.parity);
        if (rows < kChunk) clear_rows(rows, ring.stage);
    }

    // This warp has read the stage: all who write to it hear of that.
    __device__ void release(int stage) const {
        if (lane != 0) return;
        barrier_arrive(block.empty(stage));
        if (kShared.pairs && p.cluster == 2) barrier_arrive_at(block.empty(stage), 1 - rank);
    }

    // ---- decay ----

    // powers()[n] = lambda^n, and for the scores lambda^(i-j) by the distance i - j in memory,
    // which is 0 where j comes after i in the walk.
    __device__ void fill_powers(const Sm90Scan& s, float slope) const {
        if (thread <= kChunk) block.powers()[thread] = power(slope, thread);
        if (thread >= 2 * kChunk) return;
        const int distance = s.reverse ? kChunk - thread : thread - kChunk;
        const float scale = s.product_scale * s.out_scale;
        block.distances()[thread] = distance >= 0 ? power(slope, distance) * scale : 0.0f;
    }
    // Factors of a chunk of `rows`, by the row in memory.
    __device__ void fill_tables(const Item& item, const Sm90Scan& s, int rows) const {
        if (thread >= kChunk) return;
        if (thread == 0) {
            const float slope = s.slopes[item.head];
            block.powers()[kChunk + 1] =
                is_slow(slope) ? expm1f(-slope * static_cast<float>(rows)) : power(slope, rows);
        }
        const float* powers = block.powers();
        const int walked = s.reverse ? rows - 1 - thread : thread; // negative: no such row
        const bool valid = walked >= 0 && walked < rows;
        block.out_factors()[thread] = valid ? powers[walked + 1 - s.shift] * s.out_scale : 0.0f;
        block.weights()[thread] =
            valid ? powers[rows - 1 - walked + s.shift] * s.product_scale : 0.0f;
    }
    // lambda^rows of the filled tables, or, slow, 1 less: near 1 an f32 loses the rate's digits.
    static __device__ bool is_slow(float slope) { return slope * kChunk < 0.02f; }
    __device__ float chunk_decay() const { return block.powers()[kChunk + 1]; }
    __device__ float2 factor_pair(const float* table, int i) const {
        return *reinterpret_cast<const float2*>(table + i + lane % 4 * 2);
    }

    // ---- the state ----

    template <class A>
    __device__ StatePart<A> part(const Item& item, const Sm90Scan& s, const ScanState<A>& state,
                                 int slot, int64_t offset) const {
        const int n = column(item) + warp * 16 + lane / 4, k = lane % 4 * 2;
        return {state.data + slot * state.sequence + item.head * state.head + offset +
                    k * state.key + n * state.column,
                state.key, state.column, s.K - k, s.N - n};
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
        if (in.data && slot >= 0) add_part(state, part(item, s, in, slot, 0), 1.0f);
    }
    __device__ void begin_state(const Item& item, const Sm90Scan& s, float slope) {
        clear_state();
        if (item.segment == 0) {
            if constexpr (kStatesOnly) {
                load(item, s, s.state_in, state_slot(item));
                if (s.initial.data) write_part(state, part(item, s, s.initial, item.sequence, 0));
                if (item.negligible_chunks(slope) > 0) clear_state();
            } else if (p.segments > 1) {
                load(item, s, s.initial, item.sequence);
            } else {
                load(item, s, s.state_in, state_slot(item));
            }
            return;
        }
        if constexpr (!kStatesOnly) add_segments_before(item, s, slope);
    }
    // The last one first, until their share has decayed away.
    __device__ void add_segments_before(const Item& item, const Sm90Scan& s, float slope) {
        for (int segment = item.segment - 1; segment >= 0; --segment) {
            const int tokens = item.walked - min((segment + 1) * item.each, item.tokens);
            if (slope * static_cast<float>(tokens) > kNegligible) break;
            add_part(state, part(item, s, s.local, item.sequence, segment * s.local_segment),
                     power(slope, tokens));
        }
    }
    __device__ void end_state(const Item& item, const Sm90Scan& s) {
        const ScanState<float>& to = kStatesOnly ? s.local : s.state_out;
        if (!to.data || (!kStatesOnly && item.segment != p.segments - 1)) return;
        const int slot = kStatesOnly ? item.sequence : state_slot(item);
        if (slot >= 0)
            write_part(state,
                       part(item, s, to, slot, kStatesOnly ? item.segment * s.local_segment : 0));
    }

    // ---- one chunk ----

    // Rows of b and c behind the segment belong to the next one, or to the next sequence.
    __device__ void clear_rows(int rows, int stage) const {
        if (!p.cu_seqlens && p.segments == 1) return; // the copy engine has
        constexpr int kTiles = kKeys / 64 + kShared.columns;
        const int packs = (kChunk - rows) * 8;
        for (int i = thread; i < packs * kTiles; i += kGroups * kWarpgroup) {
            const int tile = i / packs, pack = i - tile * packs;
            unsigned char* const base = tile < kKeys / 64
                                            ? block.b(stage) + tile * kTileBytes
                                            : block.c(stage) + (tile - kKeys / 64) * kTileBytes;
            *reinterpret_cast<uint4*>(base + rows * kSwizzleRow + pack * 16) = uint4{};
        }
        fence_async();
        sync_all();
    }

    // c^T of this warpgroup's columns: tokens are the inner dimension.
    __device__ void load_columns(FragmentA (&c)[kChunk / 16], int stage) const {
        unsigned char* const tile = block.c(stage) + group * kTileBytes;
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
    __device__ void add_to_state(FragmentA (&c)[kChunk / 16], int stage) {
        constexpr int kPart = kKeys % 128 == 0 ? 128 : 64;
        const uint64_t b = describe(block.b(stage), kTileBytes);
#pragma unroll
        for (int first = 0; first < kKeys; first += kPart)
#pragma unroll
            for (int step = 0; step < kChunk / 16; ++step)
                Product<T, kPart, 0, 1>::run(
                    reinterpret_cast<float(&)[kPart / 2]>(state[first / 2]), c[step],
                    advance(b, first / 64 * kTileBytes + step * 16 * kSwizzleRow), true);
        products_commit();
    }
    // What a chunk adds to 64 keys of the state, from key `first` on, in a place of its own: tensor
    // cores cut off what they add to a sum, and a state is one of all tokens.
    __device__ void multiply_part(float (&part)[32], const FragmentA (&c)[kChunk / 16], int first,
                                  int stage) const {
        const uint64_t b = describe(block.b(stage), kTileBytes);
#pragma unroll
        for (int step = 0; step < kChunk / 16; ++step)
            Product<T, 64, 0, 1>::run(part, c[step],
                                      advance(b, first / 64 * kTileBytes + step * 16 * kSwizzleRow),
                                      step > 0);
        products_commit();
    }
    template <bool kSlow>
    __device__ void add_chunk(const float (&part)[32], int first, float decay) {
        float(&to)[32] = reinterpret_cast<float(&)[32]>(state[first / 2]);
#pragma unroll
        for (int x = 0; x < 32; ++x)
            to[x] = kSlow ? to[x] + fmaf(decay, to[x], part[x]) : fmaf(decay, to[x], part[x]);
    }
    template <bool kSlow> __device__ void walk_state(float decay) {
        FragmentA c[kChunk / 16];
        load_columns(c, ring.stage);
        weigh(c);
#pragma unroll
        for (int first = 0; first < kKeys; first += 64) {
            float part[32];
            products_fence();
            multiply_part(part, c, first, ring.stage);
            products_wait<0>();
            pin(part);
            add_chunk<kSlow>(part, first, decay);
        }
    }

    // Operand S^T, from 16 keys times `first` on; then, kDecay, that part decays.
    template <bool kDecay, int kCount>
    __device__ void round_state(FragmentA (&operand)[kCount], int first, const float (&scale)[2],
                                float decay) {
#pragma unroll
        for (int step = 0; step < kCount; ++step)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int at = ((first + step) * 2 + i / 2) * 4 + i % 2 * 2;
                operand[step].r[i] =
                    pack<T>(state[at] * scale[i % 2], state[at + 1] * scale[i % 2]);
                if constexpr (kDecay) {
                    state[at] *= decay;
                    state[at + 1] *= decay;
                }
            }
    }

    // Scores times decay, into the buffer that both warpgroups multiply by.
    __device__ void publish_scores(float (&scores)[kScoreColumns / 2], int buffer) const {
        const int i = group * kScoreColumns + lane % 4 * 2, j = warp * 16 + lane / 4;
        const float* distances = block.distances() + kChunk + i - j;
#pragma unroll
        for (int x = 0; x < kScoreColumns / 2; ++x)
            scores[x] *= distances[x / 4 * 8 - x % 4 / 2 * 8 + x % 2];
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
        for (int n = 0; n < kChunk / 8; n += 2) {
            const uint32_t r[4] = {
                pack<T>(out[n * 4], out[n * 4 + 1]), pack<T>(out[n * 4 + 2], out[n * 4 + 3]),
                pack<T>(out[n * 4 + 4], out[n * 4 + 5]), pack<T>(out[n * 4 + 6], out[n * 4 + 7])};
            const int row = (n + matrix / 2) * 8 + lane % 8;
            stmatrix_transposed(swizzled(tile, row, warp * 2 + matrix % 2), r);
        }
        const int token = item.first + chunk.begin;
        if (chunk.rows == kChunk) {
            fence_async();
            sync_group();
            if (elected()) {
                store_box(&s.out, tile, column(item), item.head, token, item.batch);
                commit_stores();
            }
            return;
        }
        sync_group(); // a box would overwrite the tokens behind the segment
        const int pack = thread % 8, x = column(item) + pack * 8;
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

    // This warpgroup's columns of P^T.
    __device__ void multiply_scores(float (&scores)[kScoreColumns / 2], int stage) const {
        const uint64_t a = describe(block.a(stage) + group * kScoreColumns * kSwizzleRow);
        const uint64_t b = describe(block.b(stage));
#pragma unroll
        for (int step = 0; step < kKeys / 16; ++step)
            Product<T, kScoreColumns, 0, 0>::run(scores, advance(b, keys(step)),
                                                 advance(a, keys(step)), step > 0);
    }

    // o^T = factors (S^T a^T), to which the products with the scores are added.
    __device__ void weigh_out(float (&out)[32], const float (&undo)[2]) const {
#pragma unroll
        for (int n = 0; n < kChunk / 8; ++n) {
            const float2 f = factor_pair(block.out_factors(), n * 8);
#pragma unroll
            for (int i = 0; i < 4; ++i) out[n * 4 + i] *= undo[i / 2] * (i % 2 ? f.y : f.x);
        }
    }
    __device__ void add_products(float (&out)[32], const FragmentA (&c)[kChunk / 16],
                                 int buffer) const {
        const uint64_t scores = describe(block.scores(buffer));
#pragma unroll
        for (int step = 0; step < kChunk / 16; ++step)
            Product<T, 64, 0, 1>::run(out, c[step], advance(scores, step * 16 * kSwizzleRow), true);
        products_commit();
    }

    // One chunk, in `stage`, whose scores lie in `buffer`; those of the next one, in `next`, into
    // the other buffer.
    template <bool kSlow>
    __device__ void walk(const Item& item, const Sm90Scan& s, const Chunk& chunk, int stage,
                         int next, bool more, int buffer) {
        FragmentA operand[kSteps];
        float scale[2] = {1.0f, 1.0f}, undo[2] = {1.0f, 1.0f};
        scale_rows<T>(state, scale, undo);
        round_state<false>(operand, 0, scale, 1.0f);
        sync_all(); // scores and tables are there

        float out[32], scores[kScoreColumns / 2];
        const uint64_t a = describe(block.a(stage));
        products_fence();
#pragma unroll
        for (int step = 0; step < kSteps; ++step)
            Product<T, 64, 0, 0>::run(out, operand[step], advance(a, keys(step)), step > 0);
        products_commit();
        multiply_scores(scores, next); // of this chunk again, where there is no next
        products_commit();

        // One warpgroup alone has more scores to hold: it loads c twice.
        constexpr bool kTwice = kGroups == 1 && kKeys > 64;
        FragmentA c[kChunk / 16], weighted[kChunk / 16];
        load_columns(weighted, stage);
        if constexpr (!kTwice) {
#pragma unroll
            for (int step = 0; step < kChunk / 16; ++step) c[step] = weighted[step];
        }
        weigh(weighted);
        float part[32];
        products_fence();
        multiply_part(part, weighted, 0, stage);

        products_wait<2>();
        pin(out);
        weigh_out(out, undo);
        if constexpr (kTwice) load_columns(c, stage);
        products_fence();
        add_products(out, c, buffer);

        products_wait<2>();
        pin(scores);
        if (more) publish_scores(scores, buffer ^ 1);
        products_wait<1>();
        pin(part);
        const float decay = chunk_decay();
        add_chunk<kSlow>(part, 0, decay);
        if constexpr (kKeys > 64) {
            products_fence();
            multiply_part(part, weighted, 64, stage);
        }
        if (elected()) wait_stores_read(); // the last chunk's o^T has left
        sync_group();
        products_wait<(kKeys > 64)>();
        pin(out);
        store_out(item, s, chunk, out);
        if constexpr (kKeys > 64) {
            products_wait<0>();
            pin(part);
            add_chunk<kSlow>(part, 64, decay);
        }
    }

    // The chunk in `stage`, whose scores go to `buffer`; then those of the next one, which the ring
    // is at. The state is rounded 64 keys at a time.
    __device__ void walk_wide(const Item& item, const Sm90Scan& s, const Chunk& chunk, int stage,
                              int next_rows, bool more, int buffer,
                              float (&scores)[kScoreColumns / 2]) {
        float scale[2] = {1.0f, 1.0f}, undo[2] = {1.0f, 1.0f};
        scale_rows<T>(state, scale, undo);
        const float decay = block.powers()[chunk.rows];
        const uint64_t a = describe(block.a(stage));
        float out[32];
        FragmentA operand[2][4];
#pragma unroll
        for (int part = 0; part < kKeys / 64; ++part) {
            FragmentA(&mine)[4] = operand[part % 2];
            if (part >= 2) products_wait<1>(); // who read these registers last is done
            round_state<true>(mine, part * 4, scale, decay);
            products_fence();
#pragma unroll
            for (int step = 0; step < 4; ++step)
                Product<T, 64, 0, 0>::run(out, mine[step], advance(a, keys(part * 4 + step)),
                                          part + step > 0);
            products_commit();
            if (part == 1) publish_scores(scores, buffer);
        }

        FragmentA weighted[kChunk / 16], c[kChunk / 16];
        load_columns(weighted, stage);
        weigh(weighted);
        products_fence();
        add_to_state(weighted, stage);

        products_wait<1>();
        pin(out);
        weigh_out(out, undo);
        load_columns(c, stage); // again: there are no registers to keep it in
        sync_all();             // the scores are there
        products_fence();
        add_products(out, c, buffer);
        // Of three stages this one is given back before the next is waited for. Of two it is not:
        // measured, the backward is 4 % slower.
        constexpr bool kEarly = kShared.stages > 2;
        if constexpr (kEarly) {
            products_wait<1>();
            pin(state);
            if (more) {
                release(stage);
                await(next_rows);
            }
        } else if (more) {
            await(next_rows);
        }
        products_fence();
        multiply_scores(scores, more ? ring.stage : stage); // again, where there is no next
        products_commit();
        if (elected()) wait_stores_read(); // the last chunk's o^T has left
        sync_group();
        products_wait<1>();
        pin(out);
        if constexpr (!kEarly) {
            pin(state);
            if (more) release(stage);
        }
        store_out(item, s, chunk, out);
        products_wait<0>();
        pin(scores);
        if (!more) release(stage);
    }
    // What a warpgroup behind the last column does for the other one.
    __device__ void walk_scores(int stage, int next_rows, bool more, int buffer,
                                float (&scores)[kScoreColumns / 2]) const {
        publish_scores(scores, buffer);
        sync_all();
        release(stage);
        if (!more) return;
        await(next_rows);
        products_fence();
        multiply_scores(scores, ring.stage);
        products_commit();
        products_wait<0>();
        pin(scores);
    }
};

} // namespace tnl::cuda
