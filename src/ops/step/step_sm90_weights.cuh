// The weights' way through a step: each warp has a ring of slots in shared memory, into which the
// copy engine brings, pair by pair and piece by piece, what this warp will multiply next. Which
// that is, is known from the beginning for the whole step, so that the rings run on while the block
// waits for numbers of others, across products and layers. Other warps serve them, a lane each:
// to start a copy takes as long as to multiply what it brings.
#pragma once

#include "cuda/hopper.cuh"
#include "ops/step/step_sm90_cuda.h"
#include "ops/step/step_sm90_multiply.cuh"

namespace tnl::cuda {

__device__ inline StepSpan span_of(const StepArguments::Product& product, int warp) {
    return step_span(product.pairs, product.row_bytes, product.splits, product.split_bytes,
                     static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x), warp);
}

// A warp's ring in shared memory: `count` slots, each for pieces of two rows.
struct StepSlots {
    unsigned char* first;
    int count, bytes;
    __device__ unsigned char* at(int slot) const { return first + slot * bytes; }
};

// What lane 0 of each warp looks up, in shared memory.
struct StepTable {
    struct Product {
        int row_bytes, rows, apart, piece_bytes; // as in StepArguments
    };
    const unsigned char* weights[4 * StepPlan::kMostLayers + 1]; // of each phase
    Product products[kStepProducts];
    StepSpan spans[StepPlan::kWarps][kStepProducts];

    // By all threads.
    __device__ void fill(const StepArguments& p) {
        const int thread = static_cast<int>(threadIdx.x);
        for (int i = thread; i <= 4 * p.layers; i += static_cast<int>(blockDim.x))
            weights[i] = i == 4 * p.layers ? p.head : p.layer[i >> 2].weights[i & 3];
        if (thread < kStepProducts) {
            const StepArguments::Product& from = p.products[thread];
            products[thread] = {from.row_bytes, from.rows, from.apart, from.piece_bytes};
        }
        if (thread < StepPlan::kWarps * kStepProducts)
            spans[thread / kStepProducts][thread % kStepProducts] =
                span_of(p.products[thread % kStepProducts], thread / kStepProducts);
    }
};

// A ring's barriers: a slot has been filled, a slot has been read.
struct StepRing {
    uint64_t full[StepPlan::kMostSlots], empty[StepPlan::kMostSlots];
};

// The fetching side of one ring, a lane's work.
class WeightFetcher {
  public:
    __device__ WeightFetcher(const StepTable& table, int layers, int warp, const StepSlots& slots,
                             StepRing& ring)
        : table_(table), spans_(table.spans[warp]), slots_(slots), ring_(ring), last_(4 * layers),
          policy_(sm90::read_once()) {
        next_product();
    }
    __device__ bool finished() const { return phase_ > last_; }
    // The next piece, if there is a slot for it.
    __device__ bool fetch() {
        uint64_t* const full = ring_.full + slot_;
        if (filled_ >= slots_.count && !sm90::barrier_test(ring_.empty + slot_, parity_ ^ 1))
            return false;
        const int bytes = min(piece_bytes_, span_.stop - byte_);
        const bool two = pair_ != lonely_;
        unsigned char* to = slots_.at(slot_);
        sm90::barrier_expect(full, static_cast<uint32_t>(two ? 2 * bytes : bytes));
        sm90::load_bytes(to, at_ + byte_, bytes, full, policy_);
        if (two)
            sm90::load_bytes(to + slots_.bytes / 2, at_ + apart_ + byte_, bytes, full, policy_);
        if (filled_ < slots_.count) ++filled_;
        if (++slot_ == slots_.count) {
            slot_ = 0;
            parity_ ^= 1;
        }
        byte_ += piece_bytes_;
        if (byte_ < span_.stop) return true;
        byte_ = span_.begin;
        at_ += stride_;
        pair_ += span_.stride;
        if (pair_ >= span_.end) next_product();
        return true;
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
        const int64_t row = from.row_bytes;
        // Bytes from a pair to its second row, and from a pair of this warp to the next.
        apart_ = (from.apart ? from.apart : 1) * row;
        stride_ = (from.apart ? 1 : 2) * row * span_.stride;
        // Only the head's last pair may be one row.
        lonely_ = from.apart == 0 && from.rows % 2 != 0 ? from.rows / 2 : -1;
        pair_ = span_.first;
        byte_ = span_.begin;
        piece_bytes_ = from.piece_bytes;
        at_ = table_.weights[phase_] + (from.apart ? 1 : 2) * row * pair_;
    }

    const StepTable& table_;
    const StepSpan* spans_;
    StepSlots slots_;
    StepRing& ring_;
    int last_;
    uint64_t policy_;
    StepSpan span_{};
    const unsigned char* at_ = nullptr;
    int64_t apart_ = 0, stride_ = 0;
    int piece_bytes_ = 0;
    int phase_ = -1, pair_ = 0, byte_ = 0, lonely_ = -1; // phases: four a layer, and the head
    int slot_ = 0, filled_ = 0;
    uint32_t parity_ = 0; // of the round through the ring
};

// The multiplying side, of a whole warp.
class WeightReader {
  public:
    __device__ WeightReader(const StepSlots& slots, StepRing& ring) : slots_(slots), ring_(ring) {}
    // The next piece of this warp: of the first row, and half a slot further of the second.
    __device__ const unsigned char* wait() {
        sm90::barrier_wait(ring_.full + slot_, parity_);
        return slots_.at(slot_);
    }
    // It has been read.
    __device__ void done() {
        __syncwarp();
        if (threadIdx.x % kWarp == 0) sm90::barrier_arrive(ring_.empty + slot_);
        if (++slot_ == slots_.count) {
            slot_ = 0;
            parity_ ^= 1;
        }
    }

  private:
    StepSlots slots_;
    StepRing& ring_;
    int slot_ = 0;
    uint32_t parity_ = 0;
};

} // namespace tnl::cuda
