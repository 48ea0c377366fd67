// A block a row. The row is read a few times over; it lies in the second-level cache. Tokens above
// a bound are found by histograms: of how far a logit is below the largest, in equal steps, then of
// the orders of the logits in the one step where the bound lies, digit by digit.
#include "ops/sample/sample.h"

#include "cuda/launch.h"
#include "cuda/reduce.cuh"
#include "ops/entries_cuda.h"
#include "tensor/device_cuda.h"

namespace tnl::cuda {
namespace {

constexpr int kThreads = 1024, kWarps = kThreads / kWarp, kBins = 2 * kThreads;
using Sum = unsigned long long; // as atomicAdd calls it

struct Shared {
    Sum bins[kBins];
    Sum sums[kWarps];
    float values[kWarps];
    int columns[kWarps], bads[kWarps], ties[kWarps];
    Sum above; // of the bins before `bin`
    int bin, column;
};

// What is kept: orders above `order`, and of those that equal it the first `ties` tokens.
struct Kept {
    uint32_t order = kLeastOrder;
    int ties = INT_MAX;
};

class Row {
  public:
    __device__ Row(float* logits, int V, const TokenChoice& choice, TokenChange* changes,
                   Shared& shared)
        : logits_(logits), V_(V), choice_(choice), changes_(changes), s_(shared),
          thread_(static_cast<int>(threadIdx.x)), warp_(thread_ / kWarp), lane_(thread_ % kWarp) {}

    __device__ int choose() {
        change();
        __syncthreads();
        int token = largest();
        if (token >= 0 && choice_.temperature > 0) token = draw();
        __syncthreads();
        restore();
        return token;
    }

  private:
    __device__ void change() {
        for (int i = thread_; i < choice_.changes; i += kThreads) {
            TokenChange& c = changes_[i];
            c.was = logits_[c.token];
            logits_[c.token] = changed_logit(c.was, c, choice_.repetition_penalty);
        }
    }
    __device__ void restore() {
        for (int i = thread_; i < choice_.changes; i += kThreads)
            logits_[changes_[i].token] = changes_[i].was;
    }
    template <class F> __device__ void for_logits(F&& f) const {
#pragma unroll 4
        for (int i = thread_; i < V_; i += kThreads) f(i, logits_[i]);
    }

    // top_, and its token: -1 where there is none or a number that none may choose.
    __device__ int largest() {
        float value = -INFINITY;
        int column = INT_MAX;
        bool bad = false;
        const auto join = [&](float x, int c) {
            if (x > value || (x == value && c < column)) {
                value = x;
                column = c;
            }
        };
        for_logits([&](int i, float x) {
            bad = bad || !(x < INFINITY);
            if (x > -INFINITY) join(x, i);
        });
        const auto join_warp = [&] {
            for (int offset = kWarp / 2; offset > 0; offset /= 2)
                join(__shfl_xor_sync(0xffffffffu, value, offset),
                     __shfl_xor_sync(0xffffffffu, column, offset));
            bad = __any_sync(0xffffffffu, bad);
        };
        join_warp();
        if (lane_ == 0) {
            s_.values[warp_] = value;
            s_.columns[warp_] = column;
            s_.bads[warp_] = bad;
        }
        __syncthreads();
        value = s_.values[lane_];
        column = s_.columns[lane_];
        bad = s_.bads[lane_] != 0;
        join_warp();
        top_ = value;
        return bad || column == INT_MAX ? -1 : column;
    }

    __device__ Sum weight(float x) const { return token_weight(x, top_, choice_.temperature); }

    // Bins of how far below the largest: the first is the largest's.
    __device__ int step_of(float x) const {
        const float steps = (top_ - x) * steps_;
        return steps < kBins - 1 ? static_cast<int>(steps) : kBins - 1;
    }

    // f(logit) says which bin and how much of it.
    template <class F> __device__ void count(F&& f) {
        __syncthreads();
        for (int i = thread_; i < kBins; i += kThreads) s_.bins[i] = 0;
        __syncthreads();
        for_logits([&](int, float x) {
            int bin = 0;
            Sum n = 0;
            if (f(x, bin, n) && n > 0) atomicAdd(&s_.bins[bin], n);
        });
        __syncthreads();
    }
    __device__ Sum all_bins() {
        Sum sum = warp_sum(s_.bins[2 * thread_] + s_.bins[2 * thread_ + 1]);
        if (lane_ == 0) s_.sums[warp_] = sum;
        __syncthreads();
        return warp_sum(s_.sums[lane_]);
    }
    __device__ Sum sum_of_lanes_before(Sum own) const {
        Sum sum = own;
        for (int offset = 1; offset < kWarp; offset *= 2) {
            const Sum other = __shfl_up_sync(0xffffffffu, sum, offset);
            if (lane_ >= offset) sum += other;
        }
        return sum - own;
    }
    // The bin in which the sum of all up to it reaches `wanted` > 0; takes from wanted what is in
    // those before. They sum to that much.
    __device__ int find(Sum& wanted) {
        const Sum first = s_.bins[2 * thread_], second = s_.bins[2 * thread_ + 1];
        const Sum in_warp = sum_of_lanes_before(first + second);
        __syncthreads(); // s_.sums has been read
        if (lane_ == kWarp - 1) s_.sums[warp_] = in_warp + first + second;
        __syncthreads();
        const Sum of_lane = s_.sums[lane_], warps_before = sum_of_lanes_before(of_lane);
        const Sum begin = __shfl_sync(0xffffffffu, warps_before, warp_) + in_warp;
        if (begin < wanted && wanted <= begin + first + second) {
            const bool in_second = wanted > begin + first;
            s_.bin = 2 * thread_ + (in_second ? 1 : 0);
            s_.above = begin + (in_second ? first : 0);
        }
        __syncthreads();
        wanted -= s_.above;
        return s_.bin;
    }

    // Narrows `kept` to the fewest tokens, the largest first, whose amounts reach what wanted(sum
    // of all) asks for; 0: nothing is narrowed. amount(logit) is the same for equal logits. All of
    // those that tie with the last stay.
    template <class Amount, class Wanted>
    __device__ Sum narrow(Kept& kept, Amount&& amount, Wanted&& wanted_of) {
        const uint32_t least = kept.order;
        count([&](float x, int& bin, Sum& n) {
            if (order_of(x) < least) return false;
            bin = step_of(x);
            n = amount(x);
            return true;
        });
        Sum wanted = wanted_of(all_bins());
        if (wanted == 0) return 0;
        const int step = find(wanted);
        uint32_t prefix = 0;
        int known = 0; // bits of prefix
#pragma unroll 1
        for (const int bits : {11, 11, 10}) {
            const int shift = 32 - known - bits;
            const int mask = (1 << bits) - 1;
            count([&](float x, int& bin, Sum& n) {
                const uint32_t order = order_of(x);
                if (order < least || step_of(x) != step) return false;
                if (known > 0 && order >> (32 - known) != prefix) return false;
                bin = mask - static_cast<int>(order >> shift & static_cast<uint32_t>(mask));
                n = amount(x);
                return true;
            });
            const int digit = mask - find(wanted);
            prefix = prefix << bits | static_cast<uint32_t>(digit);
            known += bits;
        }
        kept.order = prefix;
        return wanted;
    }

    __device__ int draw() {
        steps_ = 64 / fmaxf(1.0f, static_cast<float>(choice_.temperature));
        Kept kept;
        if (choice_.top_k > 0 && choice_.top_k < V_)
            narrow(
                kept, [](float) { return Sum{1}; },
                [&](Sum all) {
                    return static_cast<Sum>(choice_.top_k) < all ? static_cast<Sum>(choice_.top_k)
                                                                 : Sum{0};
                });
        if (choice_.top_p < 1) {
            const Sum rest = narrow(
                kept, [&](float x) { return weight(x); },
                [&](Sum all) { return Sum{wanted_weight(choice_.top_p, all)}; });
            const Sum each = weight(value_of(kept.order));
            kept.ties = static_cast<int>((rest + each - 1) / each);
        }
        return drawn(kept);
    }
    __device__ static float value_of(uint32_t order) {
        return __uint_as_float(order ^ (order >> 31 ? 0x80000000u : 0xffffffffu));
    }

    // Each warp has a part of the row, so that tokens are met in their order.
    __device__ int drawn(const Kept& kept) {
        const int part = (V_ + kThreads - 1) / kThreads * kWarp;
        const int begin = min(warp_ * part, V_), end = min(begin + part, V_);
        const Sum least = least_weight(choice_.min_p);
        int ties = 0;
        if (kept.ties != INT_MAX) {
            for (int i = begin + lane_; i - lane_ < end; i += kWarp)
                ties += __popc(
                    __ballot_sync(0xffffffffu, i < end && order_of(logits_[i]) == kept.order));
            __syncthreads();
            if (lane_ == 0) s_.ties[warp_] = ties;
            __syncthreads();
            ties = 0;
            for (int w = 0; w < warp_; ++w) ties += s_.ties[w];
        }
        const int ties_before = ties;
        // The weight that counts of token i; by all lanes.
        const auto next = [&](int i) {
            const float x = i < end ? logits_[i] : -INFINITY;
            const uint32_t order = order_of(x);
            bool keep = i < end && order >= kept.order && x > -INFINITY;
            if (kept.ties != INT_MAX) {
                const unsigned equal = __ballot_sync(0xffffffffu, keep && order == kept.order);
                if (order == kept.order)
                    keep = keep && ties + __popc(equal & ((1u << lane_) - 1)) < kept.ties;
                ties += __popc(equal);
            }
            const Sum w = keep ? weight(x) : 0;
            return w >= least ? w : 0;
        };
        Sum own = 0;
        for (int i = begin + lane_; i - lane_ < end; i += kWarp) own += next(i);
        own = warp_sum(own);
        __syncthreads();
        if (lane_ == 0) s_.sums[warp_] = own;
        __syncthreads();
        const Sum of_lane = s_.sums[lane_], lanes_before = sum_of_lanes_before(of_lane);
        const Sum all = warp_sum(of_lane);
        const Sum before = __shfl_sync(0xffffffffu, lanes_before, warp_);
        const Sum at = drawn_weight(choice_.uniform, all);
        if (before <= at && at < before + own) {
            Sum left = at - before;
            ties = ties_before;
            for (int i = begin + lane_; i - lane_ < end; i += kWarp) {
                const Sum w = next(i), less = sum_of_lanes_before(w);
                if (less <= left && left < less + w) s_.column = i;
                const Sum here = __shfl_sync(0xffffffffu, less + w, kWarp - 1);
                if (left < here) break;
                left -= here;
            }
        }
        __syncthreads();
        return s_.column;
    }

    float* logits_;
    int V_;
    const TokenChoice& choice_;
    TokenChange* changes_;
    Shared& s_;
    int thread_, warp_, lane_;
    float top_ = 0, steps_ = 0;
};

__global__ void __launch_bounds__(kThreads)
    sample_kernel(int32_t* chosen, float* logits, int V, const TokenChoice* choices,
                  TokenChange* changes) {
    __shared__ Shared shared;
    __shared__ TokenChoice choice;
    const int row = static_cast<int>(blockIdx.x);
    if (threadIdx.x == 0) choice = choices[row];
    __syncthreads();
    int token = -1;
    if (choice.skip == 0)
        token = Row(logits + int64_t{row} * V, V, choice, changes + choice.first_change, shared)
                    .choose();
    if (threadIdx.x == 0) chosen[row] = token;
}

} // namespace

void sample(Stream& s, Tensor chosen, Tensor logits, Tensor choices, Tensor changes) {
    const SampleCall call = check_sample(chosen, logits, choices, changes);
    launch(cuda_of(s), sample_kernel, dim3(static_cast<unsigned>(call.rows)), dim3(kThreads), 0,
           chosen.as<int32_t>(), logits.as<float>(), static_cast<int>(call.V),
           reinterpret_cast<const TokenChoice*>(choices.as<uint8_t>()),
           reinterpret_cast<TokenChange*>(changes.as<uint8_t>()));
}

bool sample_pays(int64_t V) { return V <= kMostTokens; }

} // namespace tnl::cuda
