// What every layer needs beside its tensors: the one context argument.
#pragma once

#include "ops/kernels.h"
#include "tensor/arena.h"

#include <vector>

namespace tnl {

// What the layers' large products are multiplied in: Run::dtype, or 8 bits (ops/fp8/fp8.h).
enum class Products { dtype, fp8 };

struct Run {
    Stream& stream;
    const Kernels& kernels;
    Arena& scratch; // taken and returned within one call
    DType dtype;    // compute dtype: activations and weights
    Tensor slopes;  // [L,H] acc on the device: upload_slopes(config, device, acc), model.h
    Products products = Products::dtype;
    DType acc() const { return dtype == DType::f64 ? DType::f64 : DType::f32; }
};

// N tokens, on the device of the run unless said otherwise.
struct Batch {
    Tensor ids;        // [N] i32
    Tensor positions;  // [N] i32: for LRPE; restart wherever a sequence does (any origin will do)
    Tensor targets;    // [N] i32, negative = not counted; absent in inference
    Tensor value_mask; // [N] i32, optional: 0 zeroes v there (padding, as the released code does)
    Tensor cu_seqlens; // [sequences+1] i32 in host memory, optional: N tokens packed, states reset
    // [sequences] i32, optional: sequence i has state slots[i] of what passes between batches; a
    // negative one begins from zero and leaves nothing (LightningForward::slots).
    Tensor slots;
    int64_t sequences = 1; // B when cu_seqlens is absent; N = B*T then
    int64_t rows() const { return ids.shape[0]; }
};

// The recurrent state of some sequences: for each layer [sequences,H,D,E] acc, after the last
// token. With Batch::slots, of that many slots.
struct States {
    std::vector<Tensor> layers;
};

// What passes between the pieces of sequences that are longer than a batch, each optional: states
// before the batch (null: zero) and after it, and the gradients of both.
struct Passing {
    const States* in = nullptr;
    const States* out = nullptr; // may be `in` itself where no backward follows
    const States* dout = nullptr;
    const States* din = nullptr;
};
inline Passing passing(const States* in, const States* out) { return {in, out, nullptr, nullptr}; }
// One layer's.
struct LayerPassing {
    Tensor in, out, dout, din;
};

} // namespace tnl
