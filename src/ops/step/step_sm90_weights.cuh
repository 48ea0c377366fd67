// The weights' way through a step: each warp has a ring of slots in shared memory, into which the
// copy engine brings, pair by pair and piece by piece, what this warp will multiply next. Which that
// is, is known from the beginning for the whole step, so that the ring runs on while the block waits
// for numbers of others: across products, layers, and the step's first token.
#pragma once

#include "cuda/hopper.cuh"
#include "ops/step/step_sm90.h"

namespace tnl::cuda {

__device__ inline StepSpan span_of(const StepArguments::Product& product, int warp) {
    return step_span(product.pairs, product.row_bytes, product.splits, product.split_bytes,
                     static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x), warp);
}

__device__ inline void fetch_bytes(void* to, const void* from, int bytes, uint64_t* barrier,
                                   uint64_t policy) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
                 ".L2::cache_hint [%0], [%1], %2, [%3], %4;\n" ::"r"(shared_address(to)),
                 "l"(from), "r"(bytes), "r"(shared_address(barrier)), "l"(policy)
                 : "memory");
}
// Weights are read once a step: they leave the L2 to states and mail.
__device__ inline uint64_t read_once() {
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;\n" : "=l"(policy));
    return policy;
}

constexpr int kStepPiece = static_cast<int>(StepPlan::kPiece);
constexpr int kStepSlots = static_cast<int>(StepPlan::kSlots);
constexpr int kStepSlotBytes = 2 * kStepPiece;

// What lane 0 of each warp looks up, in shared memory.
struct StepTable {
    struct Product {
        int row_bytes, rows, apart; // as in StepArguments
    };
    const unsigned char* weights[4 * StepPlan::kMostLayers + 1]; // of each phase
    Product products[kStepProducts];
    StepSpan spans[StepPlan::kWarps][kStepProducts];

    // By all threads.
    __device__ void fill(const StepArguments& p) {
        const int thread = static_cast<int>(threadIdx.x);
        for (int i = thread; i <= 4 * p.layers; i += StepPlan::kThreads)
            weights[i] = reinterpret_cast<const unsigned char*>(
                i == 4 * p.layers ? p.head : p.layer[i >> 2].weights[i & 3]);
        if (thread < kStepProducts) {
            const StepArguments::Product& from = p.products[thread];
            products[thread] = {from.row_bytes, from.rows, from.apart};
        }
        if (thread < StepPlan::kWarps * kStepProducts)
            spans[thread / kStepProducts][thread % kStepProducts] =
                span_of(p.products[thread % kStepProducts], thread / kStepProducts);
    }
};

class WeightStream {
  public:
    // ring: this warp's slots; full: their barriers, initialised for one arrival. All lanes hold
    // one, lane 0 fetches. Phases count products, four a layer and the head.
    __device__ WeightStream(const StepTable& table, int layers, unsigned char* ring, uint64_t* full)
        : table_(table), spans_(table.spans[threadIdx.x / kWarp]), ring_(ring), full_(full),
          last_(4 * layers) {
        if (threadIdx.x % kWarp != 0) return;
        policy_ = read_once();
        phase_ = -1;
        next_product();
        for (int i = 0; i < kStepSlots; ++i) fetch();
    }

    // The next piece of this warp: of the first row, and kStepPiece further of the second.
    __device__ const unsigned char* wait() {
        sm90::barrier_wait(full_ + slot_, parity_);
        return ring_ + slot_ * kStepSlotBytes;
    }
    // It has been read by all lanes; its place is filled at the next call of refill.
    __device__ void done() {
        owed_ = true;
        if (++slot_ == kStepSlots) {
            slot_ = 0;
            parity_ ^= 1;
        }
    }
    __device__ void refill() {
        if (!owed_) return;
        owed_ = false;
        __syncwarp();
        if (threadIdx.x % kWarp == 0) fetch();
    }

  private:
    __device__ void next_product() {
        int product;
        do {
            if (++phase_ > last_) return;
            product = phase_ == last_ ? 4 : phase_ & 3;
        } while (spans_[product].first >= spans_[product].end);
        const StepTable::Product from = table_.products[product];
        span_ = spans_[product];
        row_bytes_ = from.row_bytes;
        // Bytes from a pair to its second row, and from a pair of this warp to the next.
        apart_ = int64_t{from.apart ? from.apart : 1} * row_bytes_;
        stride_ = int64_t{from.apart ? 1 : 2} * row_bytes_ * span_.stride;
        // Only the head's last pair may be one row.
        lonely_ = from.apart == 0 && from.rows % 2 != 0 ? from.rows / 2 : -1;
        pair_ = span_.first;
        byte_ = span_.begin;
        at_ = table_.weights[phase_] + int64_t{from.apart ? 1 : 2} * row_bytes_ * pair_;
    }
    __device__ void fetch() {
        if (phase_ > last_) return;
        const int bytes = min(kStepPiece, span_.stop - byte_);
        const bool two = pair_ != lonely_;
        unsigned char* to = ring_ + fetched_ * kStepSlotBytes;
        uint64_t* barrier = full_ + fetched_;
        sm90::barrier_expect(barrier, static_cast<uint32_t>(two ? 2 * bytes : bytes));
        fetch_bytes(to, at_ + byte_, bytes, barrier, policy_);
        if (two) fetch_bytes(to + kStepPiece, at_ + apart_ + byte_, bytes, barrier, policy_);
        if (++fetched_ == kStepSlots) fetched_ = 0;
        byte_ += kStepPiece;
        if (byte_ < span_.stop) return;
        byte_ = span_.begin;
        at_ += stride_;
        pair_ += span_.stride;
        if (pair_ >= span_.end) next_product();
    }

    const StepTable& table_;
    const StepSpan* spans_;
    unsigned char* ring_;
    uint64_t* full_;
    int last_;
    // Lane 0: what comes next from memory.
    uint64_t policy_ = 0;
    StepSpan span_{};
    const unsigned char* at_ = nullptr;
    int64_t apart_ = 0, stride_ = 0;
    int phase_ = 0, pair_ = 0, byte_ = 0, fetched_ = 0, row_bytes_ = 0, lonely_ = -1;
    // All lanes: what is multiplied next.
    int slot_ = 0;
    uint32_t parity_ = 0;
    bool owed_ = false;
};

// sums += the rows' pieces times x's, of `bytes` each.
__device__ inline void multiply_pack(float& sum, const uint4& w, const float (&x)[8]) {
    const uint32_t words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        sum = fmaf(__uint_as_float(words[i] << 16), x[2 * i], sum);
        sum = fmaf(__uint_as_float(words[i] & 0xffff0000u), x[2 * i + 1], sum);
    }
}
__device__ inline void multiply_piece(float (&sums)[2], const unsigned char* piece,
                                      const unsigned char* x, int bytes) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int u = 0; u < kStepPiece / 16 / kWarp; ++u) {
        const int at = (u * kWarp + lane) * 16;
        if (at >= bytes) break;
        const uint4 xs = *reinterpret_cast<const uint4*>(x + at);
        const uint4 first = *reinterpret_cast<const uint4*>(piece + at);
        const uint4 second = *reinterpret_cast<const uint4*>(piece + kStepPiece + at);
        const uint32_t words[4] = {xs.x, xs.y, xs.z, xs.w};
        float v[8];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            v[2 * i] = __uint_as_float(words[i] << 16);
            v[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
        }
        multiply_pack(sums[0], first, v);
        multiply_pack(sums[1], second, v);
    }
}

// Both sums over the warp, for all lanes.
__device__ inline void warp_sums(float (&sums)[2]) {
    const bool high = threadIdx.x % kWarp >= 16;
    float mine = high ? sums[1] : sums[0];
    mine += __shfl_xor_sync(0xffffffffu, high ? sums[0] : sums[1], 16);
#pragma unroll
    for (int offset = 8; offset > 0; offset /= 2)
        mine += __shfl_xor_sync(0xffffffffu, mine, offset);
    sums[0] = __shfl_sync(0xffffffffu, mine, 0);
    sums[1] = __shfl_sync(0xffffffffu, mine, 16);
}

} // namespace tnl::cuda
