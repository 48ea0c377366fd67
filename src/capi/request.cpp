#include "capi/request.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace tnl::capi {
namespace {

// Limits that keep every product of sizes and strides within int64.
constexpr int64_t kMaxSize = int64_t{1} << 31;
constexpr int64_t kMaxElements = int64_t{1} << 48;

// Of the first version's struct. Later ones add fields at the end.
constexpr size_t kFirstSize = offsetof(tnl_lightning, workspace_bytes) + sizeof(size_t);
constexpr size_t kLargestSize = 4096;

DType dtype_of(const tnl_lightning& call) {
    switch (call.dtype) {
    case TNL_F64:
        return DType::f64;
    case TNL_F32:
        return DType::f32;
    case TNL_BF16:
        return DType::bf16;
    case TNL_F16:
        return DType::f16;
    }
    fail("lightning: dtype is {}, wanted TNL_F64, TNL_F32, TNL_BF16 or TNL_F16", call.dtype);
}

Tensor rows(const tnl_lightning& call, const tnl_rows& r, const char* name, int64_t width) {
    if (!r.data && call.B * call.T * call.H != 0)
        fail("lightning: {}.data is null, wanted [B={}, T={}, H={}, {}]", name, call.B, call.T,
             call.H, width);
    Tensor out(r.data, dtype_of(call), {call.B, call.T, call.H, width});
    out.stride = {r.batch, r.token, r.head, 1};
    return out;
}

Tensor vector(const void* data, DType dtype, int64_t n) {
    return {const_cast<void*>(data), dtype, {n}};
}

struct Common {
    const tnl_lightning& call;
    LightningShape shape;
    DType acc;

    explicit Common(const tnl_lightning& c)
        : call(c), shape(shape_of(c)), acc(shape.dtype == DType::f64 ? DType::f64 : DType::f32) {
        if (!call.decay && call.H > 0) fail("lightning: decay is null, wanted [H={}]", call.H);
        if (call.workspace_bytes && !call.workspace)
            fail("lightning: workspace is null, its size {} bytes", call.workspace_bytes);
    }
    Tensor state(const void* data, int64_t states) const {
        if (!data) return {};
        return {const_cast<void*>(data), acc, {states, call.H, call.D, call.E}};
    }
    template <class Call> void fill(Call& out) const {
        out.q = rows(call, call.q, "q", call.D);
        out.k = rows(call, call.k, "k", call.D);
        out.v = rows(call, call.v, "v", call.E);
        out.slopes = vector(call.decay, acc, call.H);
        if (call.cu_seqlens)
            out.cu_seqlens = vector(call.cu_seqlens, DType::i32, call.sequences + 1);
        out.offsets_on_device = call.cu_seqlens_on_gpu != 0;
        out.scale = static_cast<float>(call.scale);
        if (call.workspace_bytes)
            out.workspace =
                vector(call.workspace, DType::u8, static_cast<int64_t>(call.workspace_bytes));
    }
};

// On the CPU, where the values can be seen.
void check_slots(const tnl_lightning& call, const LightningShape& shape) {
    std::vector<bool> taken(static_cast<size_t>(call.states));
    for (int64_t i = 0; i < shape.sequences; ++i) {
        const int64_t slot = call.slots[i];
        if (slot < 0) continue;
        if (slot >= call.states)
            fail("lightning: slots[{}] is {}, wanted less than states = {}", i, slot, call.states);
        if (taken[static_cast<size_t>(slot)])
            fail("lightning: slots[{}] is {}, which an earlier sequence has", i, slot);
        taken[static_cast<size_t>(slot)] = true;
    }
}

} // namespace

tnl_lightning complete(const tnl_lightning* call) {
    if (!call) fail("lightning: the call is null");
    tnl_lightning out = tnl_lightning_init();
    const size_t size = call->struct_size;
    if (size < kFirstSize || size > kLargestSize)
        fail("lightning: struct_size is {}, wanted {}: begin with tnl_lightning_init()", size,
             sizeof out);
    const auto* bytes = reinterpret_cast<const unsigned char*>(call);
    for (size_t i = sizeof out; i < size; ++i)
        if (bytes[i] != 0)
            fail("lightning: struct_size is {} and uses fields past the {} bytes that version {} "
                 "knows",
                 size, sizeof out, TNL_VERSION);
    std::memcpy(&out, call, std::min(size, sizeof out));
    out.struct_size = sizeof out;
    return out;
}

LightningShape shape_of(const tnl_lightning& call) {
    const auto size = [](const char* name, int64_t value, int64_t least) {
        if (value < least || value >= kMaxSize)
            fail("lightning: {} is {}, wanted {} to {}", name, value, least, kMaxSize - 1);
    };
    size("B", call.B, 0);
    size("T", call.T, 0);
    size("H", call.H, 0);
    size("D", call.D, 1);
    size("E", call.E, 1);
    const double elements = static_cast<double>(call.B) * static_cast<double>(call.T) *
                            static_cast<double>(call.H) *
                            static_cast<double>(std::max(call.D, call.E));
    if (elements >= static_cast<double>(kMaxElements))
        fail("lightning: B={}, T={}, H={}, D={}, E={} are too many elements", call.B, call.T,
             call.H, call.D, call.E);
    if (call.cu_seqlens) {
        size("sequences", call.sequences, 0);
        if (call.cu_seqlens_on_gpu && call.gpu == TNL_CPU)
            fail("lightning: cu_seqlens_on_gpu is {} in a call on the CPU", call.cu_seqlens_on_gpu);
    }
    if (call.slots) size("states", call.states, 0);
    return {call.B,        call.T, call.H,
            call.D,        call.E, call.cu_seqlens ? call.sequences : call.B,
            dtype_of(call)};
}

LightningForward forward_of(const tnl_lightning& call) {
    const Common common(call);
    LightningForward out;
    common.fill(out);
    out.o = rows(call, call.o, "o", call.E);
    int64_t states = common.shape.sequences;
    if (call.slots) {
        states = call.states;
        out.slots = vector(call.slots, DType::i32, common.shape.sequences);
        if (call.gpu == TNL_CPU) check_slots(call, common.shape);
    }
    out.state_in = common.state(call.state_in, states);
    out.state_out = common.state(call.state_out, states);
    return out;
}

LightningBackward backward_of(const tnl_lightning& call) {
    const Common common(call);
    if (call.slots) fail("lightning: slots in a backward, which has none");
    LightningBackward out;
    common.fill(out);
    out.dout = rows(call, call.dout, "dout", call.E);
    out.dq = rows(call, call.dq, "dq", call.D);
    out.dk = rows(call, call.dk, "dk", call.D);
    out.dv = rows(call, call.dv, "dv", call.E);
    out.state_in = common.state(call.state_in, common.shape.sequences);
    out.dstate_out = common.state(call.dstate_out, common.shape.sequences);
    out.dstate_in = common.state(call.dstate_in, common.shape.sequences);
    return out;
}

} // namespace tnl::capi
