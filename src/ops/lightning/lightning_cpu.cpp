#include "ops/lightning/lightning_cpu.h"

#include "ops/lightning/scans.h"

#include <fmt/format.h>

#include <algorithm>

namespace tnl {
namespace {

using namespace lightning_cpu;

// Sequences up to this long are walked token by token in the forward: packing would cost more.
constexpr int64_t kSteps = 4;

// Short sequences, token by token: the state is read and written once for each. Returns whether all
// are.
template <class T>
bool forward_steps(const LightningLoops& loops, Stream& stream, const LightningShape& shape,
                   const LightningForward& call) {
    struct Item {
        SequenceRange range;
        int64_t state;
    };
    std::vector<Item> items;
    for (int64_t i = 0; i < shape.sequences; ++i) {
        const SequenceRange range = sequence_range(shape, call.cu_seqlens, i);
        if (range.length <= kSteps)
            items.push_back({range, state_of_sequence(call.slots, i) * shape.H});
    }
    const bool all = static_cast<int64_t>(items.size()) == shape.sequences;
    if (items.empty()) return all;
    std::vector<StateDecay> decays;
    for (int64_t h = 0; h < shape.H; ++h)
        decays.push_back(state_decay(static_cast<double>(call.slopes.as<float>()[h]), 1));
    const auto walk = [&](const Item& item, int64_t head) {
        const int64_t at = (item.state + head) * shape.D * shape.E;
        const bool kept = item.state >= 0;
        const float* in = call.state_in && kept ? call.state_in.as<float>() + at : nullptr;
        float* out = call.state_out && kept ? call.state_out.as<float>() + at : nullptr;
        const int64_t tokens = item.range.length, size = shape.D * shape.E;
        const int64_t small = 2 * (shape.D + shape.E);
        float* memory = workspace(small + size);
        if (!out && tokens > 1) out = memory + small; // between tokens
        if (tokens == 0 && out && in != out) {
            if (in)
                std::copy_n(in, size, out);
            else
                std::fill_n(out, size, 0.0f);
        }
        for (int64_t t = 0; t < tokens; ++t) {
            run_step(loops, LightningStep<T>{
                                .q = row<T>(call.q, item.range, t, head),
                                .k = row<T>(call.k, item.range, t, head),
                                .v = row<T>(call.v, item.range, t, head),
                                .o = row<T>(call.o, item.range, t, head),
                                .K = shape.D,
                                .N = shape.E,
                                .stride = shape.E,
                                .keep = decays[static_cast<size_t>(head)].keep,
                                .change = decays[static_cast<size_t>(head)].change,
                                .scale = call.scale,
                                .state_in = in,
                                .state_out = out,
                                .workspace = memory,
                            });
            in = out;
        }
    };
    const auto n = static_cast<int64_t>(items.size()) * shape.H;
    for_items(stream, n,
              [&](int64_t i) { walk(items[static_cast<size_t>(i / shape.H)], i % shape.H); });
    return all;
}

template <class T>
void forward(const LightningLoops& loops, Stream& stream, const LightningShape& shape,
             const LightningForward& call) {
    if (forward_steps<T>(loops, stream, shape, call)) return;
    Scans<T> scans(loops, stream, shape, call.slopes, call.cu_seqlens);
    scans.add({.x = call.q,
               .y = call.k,
               .z = call.v,
               .out = call.o,
               .state_in = call.state_in,
               .state_out = call.state_out,
               .slots = call.slots,
               .x_scale = call.scale,
               .K = shape.D,
               .N = shape.E});
    scans.run([](int64_t length) { return length > kSteps; });
}

template <class T>
void backward(const LightningLoops& loops, Stream& stream, const LightningShape& shape,
              const LightningBackward& call) {
    Scans<T> scans(loops, stream, shape, call.slopes, call.cu_seqlens);
    scans.add({.x = call.dout,
               .y = call.v,
               .z = call.k,
               .out = call.dq,
               .state_in = call.state_in,
               .state_out = {},
               .slots = call.slots,
               .state_in_transposed = true,
               .x_scale = call.scale,
               .K = shape.E,
               .N = shape.D});
    scans.add({.x = call.k,
               .y = call.q,
               .z = call.dout,
               .out = call.dv,
               .state_in = call.dstate_out,
               .state_out = call.dstate_in,
               .slots = call.slots,
               .reversed = true,
               .z_scale = call.scale,
               .K = shape.D,
               .N = shape.E});
    scans.add({.x = call.v,
               .y = call.dout,
               .z = call.q,
               .out = call.dk,
               .state_in = call.dstate_out,
               .state_out = {},
               .slots = call.slots,
               .state_in_transposed = true,
               .reversed = true,
               .z_scale = call.scale,
               .K = shape.E,
               .N = shape.D,
               .second = true});
    scans.run([](int64_t) { return true; });
}

template <class F> void dispatch(DType dtype, F&& f) {
    if (dtype == DType::bf16)
        f.template operator()<bf16>();
    else if (dtype == DType::f32)
        f.template operator()<float>();
    else
        fail("lightning attention on the CPU: dtype {}, wanted f64, f32 or bf16", name_of(dtype));
}

} // namespace

void lightning_forward_with(const LightningLoops& loops, Stream& stream,
                            const LightningForward& call) {
    const LightningShape shape = check(call);
    dispatch(shape.dtype, [&]<class T>() { forward<T>(loops, stream, shape, call); });
}

void lightning_backward_with(const LightningLoops& loops, Stream& stream,
                             const LightningBackward& call) {
    const LightningShape shape = check(call);
    dispatch(shape.dtype, [&]<class T>() { backward<T>(loops, stream, shape, call); });
}

void lightning_forward_cpu(Stream& stream, const LightningForward& call) {
    if (call.q.dtype == DType::f64) return lightning_forward_oracle(stream, call);
    lightning_forward_with(lightning_loops(), stream, call);
}

void lightning_backward_cpu(Stream& stream, const LightningBackward& call) {
    if (call.q.dtype == DType::f64) return lightning_backward_oracle(stream, call);
    lightning_backward_with(lightning_loops(), stream, call);
}

size_t lightning_workspace_cpu(const LightningShape&, bool) { return 0; }

std::string lightning_plan_cpu(const LightningShape& shape, const Tensor& cu_seqlens, bool backward,
                               int threads) {
    const auto s = [](int64_t n) { return n == 1 ? "" : "s"; };
    if (shape.dtype == DType::f64)
        return fmt::format("cpu: f64, token by token, {} thread{}", threads, s(threads));
    const LightningLoops& loops = lightning_loops();
    ScanRequest request{.panel = loops.panel, .threads = threads};
    request.K = backward ? std::max(shape.D, shape.E) : shape.D;
    request.N = backward ? request.K : shape.E;
    for (int64_t i = 0; i < shape.sequences; ++i) {
        const int64_t length = sequence_range(shape, cu_seqlens, i).length;
        request.longest = std::max(request.longest, length);
        request.tokens += shape.H * (backward ? 3 : 1) * length;
    }
    const ScanCut cut = cut_scan(request);
    return fmt::format("cpu: {}, {} thread{}, {} block{} of columns, {} segment{}", loops.name,
                       threads, s(threads), cut.blocks, s(cut.blocks), cut.segments,
                       s(cut.segments));
}

} // namespace tnl
