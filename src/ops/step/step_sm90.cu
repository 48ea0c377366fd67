// A step as one kernel. Every multiprocessor has one block, all of them run from the first layer to
// the choice, and tell each other rows of numbers through memory (step_sm90_mail.cuh), while the
// weights they will multiply next stream into their shared memory (step_sm90_weights.cuh). A layer
// has five rows to tell:
//
//   qkvu  of norm(x)          o  of q, k, v and states          x  of norm(o) gate(u)
//   h     of norm(x)          x  of h
//
// Each is made of all of the row before (o of all of a head's q and k; what follows of all of o and
// u), which is what keeps a row from being sent again before everyone has read it. A block without
// pairs of a product does not read for it either.
#include "cuda/launch.h"
#include "ops/lightning/scan_decay.cuh"
#include "ops/position/lrpe.h"
#include "ops/step/step_sm90_mail.cuh"
#include "ops/step/step_sm90_numbers.cuh"
#include "ops/step/step_sm90_weights.cuh"

#include <algorithm>

namespace tnl::cuda {
namespace {

constexpr int kWarps = StepPlan::kWarps, kThreads = StepPlan::kThreads;
constexpr int kColumns = static_cast<int>(StepPlan::kColumns);
constexpr int kPacks = kColumns / 4; // of 4 columns
// Nanoseconds before a row is first asked for. Everyone's numbers come at about the same time, and
// those who ask before that are in their way: 385M takes 540 us without, 467 us with it.
constexpr unsigned kSettle = 900;
constexpr int kAtOnce = StepPlan::kAtOnce, kSums = 2 * kAtOnce;
constexpr int kMostVectors = static_cast<int>(StepPlan::kMostVectors);
constexpr int kMostStates = static_cast<int>(StepPlan::kMostStates);

// What a block has beside its ring.
struct Shared {
    StepRing rings[kWarps];
    uint64_t joined[kStepProducts][kWarps / 2]; // of the warps that share pairs
    float4 squares[2][kWarps / 4];
    StepTable table;
    float partial[2][kWarps][kSums];
    Best best[kWarps];
    StepDecay<float> decay[StepPlan::kMostGroups];
};

// Warps that fetch: copies of codes are half as long, and so twice as many.
template <bool kCodes> constexpr int kFetchers = kCodes ? 2 : 1;
// Of bf16 they are known when this is compiled.
template <bool kCodes> __device__ StepSlots slots_of(const StepArguments& p) {
    return {nullptr, kCodes ? p.slots : static_cast<int>(StepPlan::kSlots),
            kCodes ? p.slot_bytes : 2 * kStepPiece};
}

// All that is done for a layer is there once, and turns of loops are not written out beyond what a
// model needs: code that does not fit the instruction cache has to be fetched again for every
// layer, which took longer than what it did. kVectors: of 4 numbers of a row that a thread holds;
// kStates: packs of 4 of the states; kCodes: whether any weights are codes.
template <int kVectors, int kStates, bool kCodes> class Step {
  public:
    __device__ Step(const StepArguments& p, Shared& shared, unsigned char* memory,
                    WeightReader& weights)
        : p_(p), s_(shared),
          row_(memory + kWarps * slots_of<kCodes>(p).count * slots_of<kCodes>(p).bytes),
          own_(reinterpret_cast<uint32_t*>(row_ + p.row_bytes)), weights_(weights),
          thread_(static_cast<int>(threadIdx.x)), warp_(thread_ / kWarp), lane_(thread_ % kWarp),
          mine_(static_cast<int>(blockIdx.x) % static_cast<int>(StepMail::kCopies) * p.copy_words),
          first_group_(first_group_of(static_cast<int>(blockIdx.x))),
          groups_(first_group_of(static_cast<int>(blockIdx.x) + 1) - first_group_),
          count_(*p.count) {}

    // Rows of layer l bear the counts count_ + 1 (qkvu) to count_ + 5 (x, at its end).
    __device__ void run() {
        embed();
        const int last = 4 * p_.layers;
#pragma unroll 1
        for (int phase = 0; phase <= last; ++phase) {
            const int product = phase == last ? 4 : phase & 3;
            if (product == 1) attend(phase >> 2);
            if (phase > 0 && busy(product)) {
                together(); // all are done with the row before
                if (product == 1)
                    gated_row(phase);
                else if (product == 3)
                    plain_row();
                else
                    sent_row(phase, product, count_ + (product == 2 ? 3 : 0));
                together();
            }
            multiply(phase, product);
            if (product == 3) count_ += 5;
        }
        choose();
    }

  private:
    // Whether this block has pairs of the product.
    __device__ bool busy(int product) const {
        const StepSpan& all = s_.table.spans[0][product];
        return all.first < all.end;
    }
    __device__ int first_pair(int product) const { return s_.table.spans[0][product].first; }

    // Threads that multiply, of this block.
    __device__ static void together() { sm90::named_barrier(1, kThreads); }

    // The sum of the squares of a row's numbers, of which this thread had some, for rstd_of.
    __device__ void add_square(int phase, float square) {
        square = warp_sum(square);
        if (lane_ == 0) reinterpret_cast<float*>(s_.squares[phase & 1])[warp_] = square;
    }
    __device__ float rstd_of(int phase, int width) const {
        float total = 0;
#pragma unroll
        for (const float4& four : s_.squares[phase & 1])
            total += (four.x + four.y) + (four.z + four.w);
        return 1.0f / sqrtf(total / static_cast<float>(width) + p_.eps);
    }
    __device__ static float square_of(const uint4& w) {
        const float a = number_of(w.x), b = number_of(w.y), c = number_of(w.z), d = number_of(w.w);
        return a * a + b * b + c * c + d * d;
    }
    // Numbers 4 vector and on of the row that the product multiplies.
    __device__ void store(int product, int vector, uint2 four) {
        const QuantFormat format = kCodes ? p_.products[product].format : QuantFormat::none;
        if (format == QuantFormat::none)
            reinterpret_cast<uint2*>(row_)[vector] = four;
        else
            store_for_codes(row_, format, 4 * vector, four);
    }

    // Norms are divided by after the product: what is multiplied is x itself, exactly.

    // x of the token, and this block's part of it.
    __device__ void embed() {
        const auto* from = p_.embed + int64_t{*p_.ids} * p_.C;
        const auto pair_at = [&](int c) {
            return packed(p_.embed_scale * __bfloat162float(from[c]),
                          p_.embed_scale * __bfloat162float(from[c + 1]));
        };
        float square = 0;
#pragma unroll 1
        for (int c = 4 * thread_; c < p_.C; c += 4 * kThreads) {
            const uint2 four = make_uint2(pair_at(c), pair_at(c + 2));
            square += square_of(make_uint4(four.x << 16, four.x, four.y << 16, four.y));
            store(0, c / 4, four);
        }
        add_square(0, square);
        const int first = first_pair(1), pairs = s_.table.spans[0][1].end - first;
#pragma unroll 1
        for (int i = thread_; i < pairs; i += kThreads) own_[i] = pair_at(2 * (first + i));
        together();
    }
    __device__ void sent_row(int phase, int product, uint32_t count) {
        const int vectors = p_.C / 4;
        uint4 x[kVectors];
        __nanosleep(kSettle);
        receive(x, p_.x + mine_, vectors, thread_, kThreads, count);
        float square = 0;
#pragma unroll
        for (int n = 0; n < kVectors; ++n)
            if (thread_ + n * kThreads < vectors) square += square_of(x[n]);
        add_square(phase, square);
#pragma unroll
        for (int n = 0; n < kVectors; ++n)
            if (const int i = thread_ + n * kThreads; i < vectors)
                store(product, i, numbers_of_words(x[n]));
    }
    __device__ static uint2 numbers_of_words(const uint4& w) {
        return make_uint2(__byte_perm(w.x, w.y, 0x7632), __byte_perm(w.z, w.w, 0x7632));
    }
    // o gate(u)
    __device__ void gated_row(int phase) {
        const int vectors = p_.hidden / 4;
        uint4 o[kVectors], u[kVectors];
        receive(u, p_.qkvu + mine_ + 3 * p_.hidden, vectors, thread_, kThreads, count_ + 1);
        float gate[kVectors][4];
#pragma unroll
        for (int n = 0; n < kVectors; ++n) {
            const uint32_t words[4] = {u[n].x, u[n].y, u[n].z, u[n].w};
#pragma unroll
            for (int i = 0; i < 4; ++i) gate[n][i] = activated(p_.gate_act, number_of(words[i]));
        }
        receive(o, p_.o + mine_, vectors, thread_, kThreads, count_ + 2);
        float square = 0;
#pragma unroll
        for (int n = 0; n < kVectors; ++n)
            if (thread_ + n * kThreads < vectors) square += square_of(o[n]);
        add_square(phase, square);
#pragma unroll
        for (int n = 0; n < kVectors; ++n)
            if (const int i = thread_ + n * kThreads; i < vectors)
                store(1, i,
                      make_uint2(
                          packed(number_of(o[n].x) * gate[n][0], number_of(o[n].y) * gate[n][1]),
                          packed(number_of(o[n].z) * gate[n][2], number_of(o[n].w) * gate[n][3])));
    }
    __device__ void plain_row() {
        const int vectors = p_.F / 4;
        __nanosleep(kSettle * 2 / 3);
#pragma unroll 1
        for (int first = 0; first < vectors; first += kRowVectors * kThreads) {
            uint4 x[kRowVectors];
            receive(x, p_.h + mine_, vectors, first + thread_, kThreads, count_ + 4);
#pragma unroll
            for (int n = 0; n < kRowVectors; ++n)
                if (const int i = first + thread_ + n * kThreads; i < vectors)
                    store(3, i, numbers_of_words(x[n]));
        }
    }
    static constexpr int kRowVectors = kVectors < 2 ? 2 : kVectors;

    // The product with the row in shared memory, and what becomes of its sums: of kAtOnce pairs
    // together, each a lane's.
    __device__ void multiply(int phase, int product) {
        const StepSpan span = s_.table.spans[warp_][product];
        if (span.first >= span.end) return;
        const StepArguments::Product& of = p_.products[product];
        const int splits = of.splits;
        const float rstd = product == 3 ? 1.0f : rstd_of(phase, product == 1 ? p_.hidden : p_.C);
        float sums[kAtOnce][2] = {};
        int held = 0, first = span.first, turn = 0;
#pragma unroll 1
        for (int pair = span.first; pair < span.end; pair += span.stride) {
            float two[2] = {0, 0};
            const unsigned char* x = row_ + numbers_before(of, span.begin);
#pragma unroll 1
            for (int byte = span.begin; byte < span.stop; byte += of.piece_bytes) {
                const unsigned char* piece = weights_.wait();
                const int bytes = min(of.piece_bytes, span.stop - byte);
                if (!kCodes || of.format == QuantFormat::none)
                    multiply_piece(two, piece, x, bytes);
                else if (of.format == QuantFormat::int8)
                    multiply_codes<QuantFormat::int8>(two, piece, p_.slot_bytes / 2, x, bytes);
                else
                    multiply_codes<QuantFormat::int4>(two, piece, p_.slot_bytes / 2, x, bytes);
                weights_.done();
                x += numbers_before(of, of.piece_bytes);
            }
#pragma unroll
            for (int j = 0; j < kAtOnce; ++j)
                if (j == held) {
                    sums[j][0] = two[0];
                    sums[j][1] = two[1];
                }
            if (++held < kAtOnce && pair + span.stride < span.end) continue;
            float sum = warp_sums(sums);
            if (splits > 1) sum = joined(product, splits, turn, sum);
            turn ^= 1;
            const float other = __shfl_xor_sync(0xffffffffu, sum, 4);
            const int mine = lane_ / 8;
            if (lane_ % 8 == 0 && mine < held && warp_ % splits == 0)
                finish(product, first + mine * span.stride, {sum * rstd, other * rstd});
            first = pair + span.stride;
            held = 0;
        }
    }
    // Bytes of numbers that `bytes` of a row of weights are multiplied with: of whole packs, or of
    // whole blocks of codes.
    __device__ static int numbers_before(const StepArguments::Product& of, int bytes) {
        if (!kCodes || of.format == QuantFormat::none) return bytes;
        const int blocks = StepPlan::blocks_of(of.format);
        return bytes / (of.piece_bytes / blocks) * 2 * static_cast<int>(kQuantBlock);
    }
    // The sums of the warps that share pairs, for the first of them.
    __device__ float joined(int product, int splits, int turn, float sum) {
        float(&partial)[kWarps][kSums] = s_.partial[turn];
        uint64_t* barrier = &s_.joined[product][warp_ / splits];
        if (lane_ % 4 == 0) partial[warp_][lane_ / 4] = sum;
        __syncwarp();
        if (lane_ == 0) sm90::barrier_arrive(barrier);
        sm90::barrier_wait(barrier, joined_ >> product & 1);
        joined_ ^= 1u << product;
        if (warp_ % splits != 0) return 0;
#pragma unroll 1
        for (int w = 1; w < splits; ++w) sum += partial[warp_ + w][lane_ / 4];
        return sum;
    }
    // By one lane.
    __device__ void finish(int product, int pair, float2 sums) {
        if (product == 0) {
            const auto out = [&](int column, float sum) {
                const float value = rounded(sum);
                const Activation act = column < 2 * p_.hidden   ? p_.qk_act
                                       : column < 3 * p_.hidden ? p_.v_act
                                                                : Activation::identity;
                return word_of(rounded(activated(act, value)), count_ + 1);
            };
            send(p_.qkvu + 2 * pair, p_.copy_words, out(2 * pair, sums.x),
                 out(2 * pair + 1, sums.y));
        } else if (product == 2) {
            const float h = activated(p_.glu_act, rounded(sums.x)) * rounded(sums.y);
            send(p_.h + pair, p_.copy_words, word_of(rounded(h), count_ + 4));
        } else if (product < 4) {
            // Of x: whose numbers a block keeps where it has their pairs.
            uint32_t& own = own_[pair - first_pair(1)];
            own = packed(sums.x + __uint_as_float(own << 16), sums.y + number_of(own));
            const uint32_t count = (count_ + (product == 1 ? 3 : 5)) & 0xffffu;
            send(p_.x + 2 * pair, p_.copy_words, own << 16 | count, (own & 0xffff0000u) | count);
        } else {
            const float out[2] = {sums.x, sums.y};
            for (int r = 0; r < 2 && 2 * pair + r < p_.V; ++r) {
                p_.logits[2 * pair + r] = out[r];
                best_.see(out[r], 2 * pair + r);
            }
        }
    }

    // ---- attention: this block's columns of the states, kColumns at a time ----

    __device__ int first_group_of(int block) const {
        return static_cast<int>(int64_t{p_.groups} * block / gridDim.x);
    }
    // A warp has a pack of 4 columns of 16 keys, in the turn n one of its group's next ones.
    struct Place {
        int group, key, column, head;
    };
    __device__ Place group_place(int n, int keys, int first) const {
        const int row = warp_ + n * kWarps; // of 16 keys, of all groups
        Place at;
        at.group = p_.by_width.of(keys == p_.width ? row * 16 : row * 8);
        at.key = row * 16 - at.group * keys + lane_ / kPacks;
        const int column = (first + at.group) * kColumns + lane_ % kPacks * 4;
        at.head = p_.by_width.of(column);
        at.column = column - at.head * p_.width;
        return at;
    }
    __device__ int64_t state_at(const Place& at, int keys) const {
        return int64_t{at.head * keys + at.key} * p_.width + at.column;
    }
    // In f32: a unit in the last place of 1 - lambda more or less.
    __device__ static StepDecay<float> decay_of(float slope) {
        const float lambda = expf(-slope);
        StepDecay<float> out;
        out.keep = lambda <= 0.5f ? 0 : 1;
        out.change = lambda <= 0.5f ? lambda : expm1f(-slope);
        return out;
    }
    // Cosine and sine of an angle of LRPE; few layers have it.
    __device__ __noinline__ float2 turn_of(float theta) const {
        double sine, cosine;
        sincos(lrpe_angle(theta, *p_.positions), &sine, &cosine);
        return {static_cast<float>(cosine), static_cast<float>(sine)};
    }
    __device__ void attend(int l) {
        const StepArguments::Layer& layer = p_.layer[l];
        const int first = first_group_, groups = groups_, D = p_.width,
                  keys = layer.theta ? 2 * D : D, rows = groups * (keys / 16);
        if (groups == 0) return;
        // [groups][2][keys], [groups][kColumns], [rows][kColumns]
        float* const qk = reinterpret_cast<float*>(row_);
        float* const v = qk + groups * 2 * keys;
        float* const partial = v + groups * kColumns;
        float4 z[kStates];
#pragma unroll
        for (int n = 0; n < kStates; ++n)
            if (warp_ + n * kWarps < rows)
                z[n] = *reinterpret_cast<const float4*>(
                    layer.state + state_at(group_place(n, keys, first), keys));
        if (thread_ < groups)
            s_.decay[thread_] =
                decay_of(p_.slopes[l * p_.heads + p_.by_width.of((first + thread_) * kColumns)]);
        together(); // all are done with the row before
        const uint32_t* const qkv = p_.qkvu + mine_;
#pragma unroll 1
        for (int i = thread_; i < groups * D; i += kThreads) {
            const int group = p_.by_width.of(i), d = i - group * D,
                      head = p_.by_width.of((first + group) * kColumns);
            const uint32_t *q = qkv + head * D + d, *k = q + p_.hidden;
            float* const to = qk + group * 2 * keys + d;
            float2 turn = make_float2(1, 0);
            if (layer.theta) turn = turn_of(__bfloat162float(layer.theta[head * D + d]));
            uint32_t x = read_word(q), y = read_word(k);
            while (!fresh(x, count_ + 1) || !fresh(y, count_ + 1)) {
                x = read_word(q);
                y = read_word(k);
            }
            to[0] = rounded(number_of(x) * turn.x);
            to[keys] = rounded(number_of(y) * turn.x);
            if (layer.theta) {
                to[D] = rounded(number_of(x) * turn.y);
                to[keys + D] = rounded(number_of(y) * turn.y);
            }
        }
#pragma unroll 1
        for (int i = kThreads - 1 - thread_; i < groups * kColumns; i += kThreads)
            v[i] = receive(qkv + 2 * p_.hidden + first * kColumns + i, count_ + 1);
        together();
#pragma unroll
        for (int n = 0; n < kStates; ++n) {
            const int row = warp_ + n * kWarps;
            if (row >= rows) break;
            const Place at = group_place(n, keys, first);
            const StepDecay<float> decay = s_.decay[at.group];
            const float q = qk[at.group * 2 * keys + at.key],
                        k = qk[(at.group * 2 + 1) * keys + at.key];
            const float4 values =
                *reinterpret_cast<const float4*>(v + at.group * kColumns + lane_ % kPacks * 4);
            z[n].x = decay.step(z[n].x, k * values.x);
            z[n].y = decay.step(z[n].y, k * values.y);
            z[n].z = decay.step(z[n].z, k * values.z);
            z[n].w = decay.step(z[n].w, k * values.w);
            *reinterpret_cast<float4*>(layer.state + state_at(at, keys)) = z[n];
            float4 o = make_float4(q * z[n].x, q * z[n].y, q * z[n].z, q * z[n].w);
#pragma unroll
            for (int offset = kWarp / 2; offset >= kPacks; offset /= 2) { // over the warp's keys
                o.x += __shfl_xor_sync(0xffffffffu, o.x, offset);
                o.y += __shfl_xor_sync(0xffffffffu, o.y, offset);
                o.z += __shfl_xor_sync(0xffffffffu, o.z, offset);
                o.w += __shfl_xor_sync(0xffffffffu, o.w, offset);
            }
            if (lane_ < kPacks)
                *reinterpret_cast<float4*>(partial + row * kColumns + lane_ * 4) = o;
        }
        together();
#pragma unroll 1
        for (int i = thread_; i < groups * kColumns; i += kThreads) {
            const float* from = partial + i / kColumns * (keys / 16) * kColumns + i % kColumns;
            float sum = 0;
#pragma unroll 8
            for (int r = 0; r < keys / 16; ++r) sum += from[r * kColumns];
            send(p_.o + first * kColumns + i, p_.copy_words, word_of(rounded(sum), count_ + 2));
        }
    }

    // ---- the head ----

    __device__ void choose() {
        best_.join_warp();
        if (lane_ == 0) s_.best[warp_] = best_;
        together();
        if (warp_ > 0) return;
        Best best = lane_ < kWarps ? s_.best[lane_] : Best{-INFINITY, -1, false};
        best.join_warp();
        const uint32_t count = count_ + 1;
        if (lane_ == 0) {
            uint64_t* to = p_.best + 2 * blockIdx.x;
            send_counted(to, __float_as_uint(best.value), count);
            send_counted(to + 1, static_cast<uint32_t>(best.column * 2 + (best.bad ? 1 : 0)),
                         count);
        }
        if (blockIdx.x > 0) return;
        best = {-INFINITY, -1, false};
        for (int b = lane_; b < static_cast<int>(gridDim.x); b += kWarp) {
            const uint64_t* from = p_.best + 2 * b;
            const float value = __uint_as_float(receive_counted(from, count));
            const auto told = static_cast<int>(receive_counted(from + 1, count));
            best.join(value, told >> 1, (told & 1) != 0);
        }
        best.join_warp();
        // Everyone has told its best, so everyone has read the count and the token.
        if (lane_ > 0) return;
        *p_.chosen = best.bad ? -1 : best.column;
        *p_.count = count;
    }

    const StepArguments& p_;
    Shared& s_;
    unsigned char* row_; // bf16: what is multiplied next
    uint32_t* own_;      // pairs of x that this block adds to
    WeightReader& weights_;
    int thread_, warp_, lane_;
    int mine_;                 // from the first copies of rows to this block's
    int first_group_, groups_; // of the states' columns
    uint32_t joined_ = 0;      // a bit a product: how often its pairs have been joined
    Best best_{-INFINITY, -1, false};
    uint32_t count_; // of the last row sent before this layer
};

template <int kVectors, int kStates, bool kCodes>
__global__ void __launch_bounds__(kThreads + kFetchers<kCodes> * kWarp, 1)
    step_kernel(const __grid_constant__ StepArguments p) {
    extern __shared__ __align__(128) unsigned char memory[];
    __shared__ Shared shared;
    const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
    constexpr int kMostSlots = static_cast<int>(StepPlan::kMostSlots);
    if (thread < kWarps * kMostSlots) {
        StepRing& ring = shared.rings[thread / kMostSlots];
        sm90::barrier_init(ring.full + thread % kMostSlots, 1);
        sm90::barrier_init(ring.empty + thread % kMostSlots, 1);
    }
    if (thread < kStepProducts * kWarps / 2)
        sm90::barrier_init(&shared.joined[0][0] + thread, p.products[thread / (kWarps / 2)].splits);
    shared.table.fill(p);
    sm90::fence_barrier_init();
    __syncthreads();
    const auto ring_of = [&](int of) {
        const StepSlots slots = slots_of<kCodes>(p);
        return StepSlots{memory + of * slots.count * slots.bytes, slots.count, slots.bytes};
    };
    if (warp < kWarps) {
        WeightReader weights(ring_of(warp), shared.rings[warp]);
        Step<kVectors, kStates, kCodes>(p, shared, memory, weights).run();
        return;
    }
    constexpr int kRings = kWarps / kFetchers<kCodes>; // of a fetching warp
    const int lane = thread % kWarp, ring = (warp - kWarps) * kRings + lane;
    if (lane >= kRings) return;
    WeightFetcher fetcher(shared.table, p.layers, ring, ring_of(ring), shared.rings[ring]);
    constexpr unsigned kAll = (1u << kRings) - 1;
    for (bool more = true; __any_sync(kAll, more);) {
        const bool fetched = more && fetcher.fetch();
        more = !fetcher.finished();
        if (!__any_sync(kAll, fetched)) __nanosleep(20);
    }
}

void launch_step(const CudaStream& stream, const StepPlan& plan, const StepArguments& p,
                 void (*kernel)(StepArguments), int fetchers) {
    const auto shared = static_cast<size_t>(plan.shared);
    const dim3 grid(static_cast<unsigned>(plan.blocks)),
        block(static_cast<unsigned>(kThreads + fetchers * kWarp));
    allow_shared(kernel, shared);
    // Blocks wait for each other: all must run at once.
    cudaLaunchAttribute together{};
    together.id = cudaLaunchAttributeCooperative;
    together.val.cooperative = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream.stream;
    config.attrs = &together;
    config.numAttrs = 1;
    (void)cudaLaunchKernelEx(&config, kernel, p);
    check_launch(kernel, grid, block, shared);
}

} // namespace

void run_step(const CudaStream& stream, const StepPlan& plan, const StepArguments& p) {
    const bool codes = std::ranges::any_of(plan.products, [](const StepPlan::Product& product) {
        return product.format != QuantFormat::none;
    });
    const auto run = [&](auto plain, auto coded) {
        launch_step(stream, plan, p, codes ? coded : plain,
                    codes ? kFetchers<true> : kFetchers<false>);
    };
    if (plan.vectors <= 1 && plan.states <= 2)
        return run(step_kernel<1, 2, false>, step_kernel<1, 2, true>);
    if (plan.vectors <= 2 && plan.states <= 4)
        return run(step_kernel<2, 4, false>, step_kernel<2, 4, true>);
    run(step_kernel<kMostVectors, kMostStates, false>,
        step_kernel<kMostVectors, kMostStates, true>);
}

} // namespace tnl::cuda
