// Between step_cuda.cpp, which takes a call apart, and step_sm90.cu, which runs it.
#pragma once

#include "cuda/stream.h"
#include "ops/step/step.h"

#include <cuda_bf16.h>

namespace tnl::cuda {

// n / d of 0 <= n < 2^31 by a multiplication (Granlund and Montgomery 1994, sec. 4).
struct StepDivisor {
    uint32_t multiplier = 0, shift = 0;
    StepDivisor() = default;
    explicit StepDivisor(int d) {
        while ((uint32_t{1} << shift) < static_cast<uint32_t>(d)) ++shift;
        const uint64_t one = uint64_t{1} << 32;
        multiplier = static_cast<uint32_t>(
            one * ((uint64_t{1} << shift) - static_cast<uint64_t>(d)) / static_cast<uint64_t>(d) +
            1);
    }
    TNL_HOST_DEVICE int of(int n) const {
        const auto x = static_cast<uint32_t>(n);
        const auto high = static_cast<uint32_t>(uint64_t{x} * multiplier >> 32);
        return static_cast<int>((uint64_t{high} + x) >> shift);
    }
};

struct StepArguments {
    using T = __nv_bfloat16;
    struct Product {
        int pairs, rows, row_bytes, splits, split_bytes;
        QuantFormat format;
        int piece_bytes;
        int apart; // rows from the first of a pair to the second; 0: neighbours
    };
    struct Layer {
        const unsigned char* weights[4]; // qkvu, out, uv, down
        const T* theta;                  // null: no LRPE
        float* state;
    };
    Product products[kStepProducts];
    const T* embed;
    const unsigned char* head;
    const int32_t *ids, *positions;
    const float* slopes;
    float* logits;
    int32_t* chosen;
    uint32_t* count; // of words sent so far, kept from call to call
    uint64_t* best;
    uint32_t *x, *qkvu, *o, *h; // first copies
    int copy_words;             // to the next ones
    int layers, C, hidden, heads, width, F, V;
    int groups, row_bytes;
    int slots, slot_bytes; // StepPlan
    StepDivisor by_width;
    float eps, embed_scale;
    Activation qk_act, v_act, gate_act, glu_act;
    Layer layer[StepPlan::kMostLayers];
};

void run_step(const CudaStream& stream, const StepPlan& plan, const StepArguments& p);

} // namespace tnl::cuda
