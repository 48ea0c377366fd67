// The graphs of softmax attention that cuDNN's fused kernels know (cuDNN's documentation, "Graph
// API: attention"), and the plan for one shape.
#pragma once

#include "ops/softmax/graph_cudnn_cuda.h"

#include <compare>
#include <utility>

namespace tnl::cudnn {

// How a tensor [B,T,heads,D] lies, in elements; packed: the first is that of the one row.
struct Strides {
    int64_t batch = 0, head = 0, token = 0;
    auto operator<=>(const Strides&) const = default;
};

// Everything that a plan depends on. Packed: B and T are the least powers of two that hold the
// sequences, so that few plans serve all batches.
struct Key {
    int device = 0;
    bool packed = false, backward = false, repeatable = false;
    int64_t B = 0, T = 0, H = 0, K = 0, D = 0;
    Strides q, k, v, o, dout, dq, dk, dv;
    auto operator<=>(const Key&) const = default;
};

// The tensors of a graph that have memory or a value, by what they are.
struct Ids {
    int64_t q = Graph::kNone, k = Graph::kNone, v = Graph::kNone, o = Graph::kNone,
            stats = Graph::kNone, dout = Graph::kNone, dq = Graph::kNone, dk = Graph::kNone,
            dv = Graph::kNone, sum = Graph::kNone, dq_sum = Graph::kNone, scale = Graph::kNone,
            infinity = Graph::kNone, one = Graph::kNone, lengths = Graph::kNone;
    std::vector<std::pair<int64_t, int64_t>> offsets; // of a multiple of cu_seqlens: (multiple, id)
};

struct Program {
    Ids ids;
    cudnn::Plan plan;
};

// Of the forward or the backward, as the key says; throws where cuDNN cannot compute it.
Program make_program(const Key& key, cudnnHandle_t handle);

} // namespace tnl::cudnn
