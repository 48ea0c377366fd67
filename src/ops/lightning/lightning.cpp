#include "ops/lightning/lightning.h"

namespace tnl {
namespace {

struct Checker {
    LightningShape shape;
    DType acc;

    void tensor(const Tensor& t, const char* name, int64_t width) const {
        TNL_CHECK(t.rank == 4 && t.is({shape.B, shape.T, shape.H, width}),
                  "lightning attention: {} has shape {}, wanted [B={}, T={}, H={}, {}]", name,
                  t.shape_string(), shape.B, shape.T, shape.H, width);
        TNL_CHECK(t.dtype == shape.dtype, "lightning attention: {} is {}, wanted {} as q", name,
                  name_of(t.dtype), name_of(shape.dtype));
        TNL_CHECK(width <= 1 || t.stride[3] == 1,
                  "lightning attention: the last stride of {} is {}, wanted 1", name, t.stride[3]);
    }
    // Whether there are any.
    bool slots(const Tensor& t) const {
        if (t.rank == 0) return false;
        TNL_CHECK(t.is({shape.sequences}) && t.dtype == DType::i32,
                  "lightning attention: slots are {} {}, wanted i32 [sequences={}]",
                  name_of(t.dtype), t.shape_string(), shape.sequences);
        return true;
    }
    void state(const Tensor& t, const char* name, bool slots = false) const {
        if (t.rank == 0) return;
        const int64_t states = slots && t.rank == 4 ? t.shape[0] : shape.sequences;
        TNL_CHECK(t.is({states, shape.H, shape.D, shape.E}) && t.contiguous(),
                  "lightning attention: {} has shape {}, wanted [{}={}, H={}, D={}, E={}], "
                  "contiguous",
                  name, t.shape_string(), slots ? "slots" : "sequences", states, shape.H, shape.D,
                  shape.E);
        TNL_CHECK(t.dtype == acc, "lightning attention: {} is {}, wanted {}", name,
                  name_of(t.dtype), name_of(acc));
    }
    void slopes(const Tensor& t) const {
        TNL_CHECK(t.is({shape.H}) && t.dtype == acc,
                  "lightning attention: slopes are {} {}, wanted {} [H={}]", name_of(t.dtype),
                  t.shape_string(), name_of(acc), shape.H);
    }
};

void check_offsets(const Tensor& cu, const LightningShape& shape) {
    const int32_t* offsets = cu.as<int32_t>();
    TNL_CHECK(shape.B == 1, "lightning attention: packed sequences want B = 1, got B = {}",
              shape.B);
    TNL_CHECK(offsets[0] == 0, "lightning attention: cu_seqlens[0] is {}, wanted 0", offsets[0]);
    for (int64_t i = 0; i < shape.sequences; ++i)
        TNL_CHECK(offsets[i] <= offsets[i + 1],
                  "lightning attention: cu_seqlens decreases from {} to {} at {}", offsets[i],
                  offsets[i + 1], i);
    TNL_CHECK(offsets[shape.sequences] == shape.T,
              "lightning attention: cu_seqlens ends at {}, wanted T = {}", offsets[shape.sequences],
              shape.T);
}

Checker begin(const Tensor& q, const Tensor& v, const Tensor& cu, bool offsets_on_device) {
    const auto [B, T, H, D] = q.dims<4>("lightning attention: q");
    const auto [Bv, Tv, Hv, E] = v.dims<4>("lightning attention: v");
    TNL_CHECK(is_float(q.dtype), "lightning attention: q is {}, wanted f64, f32, bf16 or f16",
              name_of(q.dtype));
    if (cu.rank)
        TNL_CHECK(cu.rank == 1 && cu.shape[0] >= 1,
                  "lightning attention: cu_seqlens has shape {}, wanted [sequences+1]",
                  cu.shape_string());
    const LightningShape shape{B, T, H, D, E, cu.rank ? cu.shape[0] - 1 : B, q.dtype};
    if (cu.rank && offsets_on_device)
        TNL_CHECK(B == 1, "lightning attention: packed sequences want B = 1, got B = {}", B);
    else if (cu.rank)
        check_offsets(cu, shape);
    return {shape, q.dtype == DType::f64 ? DType::f64 : DType::f32};
}

} // namespace

LightningShape check(const LightningForward& call) {
    const Checker c = begin(call.q, call.v, call.cu_seqlens, call.offsets_on_device);
    const bool slots = c.slots(call.slots);
    c.tensor(call.q, "q", c.shape.D);
    c.tensor(call.k, "k", c.shape.D);
    c.tensor(call.v, "v", c.shape.E);
    c.tensor(call.o, "o", c.shape.E);
    c.slopes(call.slopes);
    c.state(call.state_in, "state_in", slots);
    c.state(call.state_out, "state_out", slots);
    return c.shape;
}

LightningShape check(const LightningBackward& call) {
    const Checker c = begin(call.q, call.v, call.cu_seqlens, call.offsets_on_device);
    c.tensor(call.q, "q", c.shape.D);
    c.tensor(call.k, "k", c.shape.D);
    c.tensor(call.v, "v", c.shape.E);
    c.tensor(call.dout, "dout", c.shape.E);
    c.tensor(call.dq, "dq", c.shape.D);
    c.tensor(call.dk, "dk", c.shape.D);
    c.tensor(call.dv, "dv", c.shape.E);
    c.slopes(call.slopes);
    const bool slots = c.slots(call.slots);
    c.state(call.state_in, "state_in", slots);
    c.state(call.dstate_out, "dstate_out", slots);
    c.state(call.dstate_in, "dstate_in", slots);
    return c.shape;
}

SequenceRange sequence_range(const LightningShape& shape, const Tensor& cu_seqlens, int64_t i) {
    if (!cu_seqlens.rank) return {i, 0, shape.T};
    const int32_t* offsets = cu_seqlens.as<int32_t>();
    return {0, offsets[i], offsets[i + 1] - offsets[i]};
}

int64_t state_of_sequence(const Tensor& slots, int64_t i) {
    return slots.rank ? slots.as<int32_t>()[i] : i;
}

} // namespace tnl
