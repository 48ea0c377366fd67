// Where the time of the sm_90 scan goes: every shape with every number of segments, with and
// without the first pass, against this run's device-to-device copy.
//   ops_cuda_lightning_bench [forward | backward] [chosen] [decode] [B,T,H,D,E ...]
// chosen: only the plan that a call would use. decode: one token a sequence.
#include "base/rng.h"
#include "cuda/stream.h"
#include "ops/kernels.h"
#include "ops/lightning/lightning_sm90_cuda.h"
#include "ops/limits.h"
#include "tensor/device_cuda.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>
#include <vector>

namespace tnl::cuda {
namespace {

struct Shape {
    int64_t B, T, H, D, E;
};

double microseconds(Device& device, const std::function<void()>& f) {
    return seconds_of_call(device, f) * 1e6;
}

OwnedTensor random(Device& device, DType dtype, std::initializer_list<int64_t> dims, uint64_t key) {
    OwnedTensor out(device, dtype, dims);
    constexpr size_t kDrawn = 1 << 20;
    std::vector<bf16> values(std::min(static_cast<size_t>(out.size()), kDrawn));
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = bf16(static_cast<float>(2 * Philox{4, key}.uniform(i) - 1));
    auto* to = static_cast<char*>(out.data);
    for (int64_t left = out.bytes(); left > 0;) {
        const int64_t part = std::min(left, static_cast<int64_t>(values.size() * sizeof(bf16)));
        device.upload(to, values.data(), static_cast<size_t>(part));
        to += part;
        left -= part;
    }
    device.synchronize();
    return out;
}

// direction: 'f', 'b' or both.
void run(Device& device, CudaStream& stream, const Shape& s, double copy, char direction,
         bool every_plan) {
    const auto heads = [&](int64_t width, uint64_t key) {
        return random(device, DType::bf16, {s.B, s.T, s.H, width}, key);
    };
    const OwnedTensor q = heads(s.D, 1), k = heads(s.D, 2), v = heads(s.E, 3), dout = heads(s.E, 4);
    const OwnedTensor o = heads(s.E, 5), dq = heads(s.D, 6), dk = heads(s.D, 7), dv = heads(s.E, 8);
    std::vector<float> laws;
    for (int64_t h = 1; h <= s.H; ++h)
        laws.push_back(std::exp2(-8.0f * static_cast<float>(h) / static_cast<float>(s.H)));
    const OwnedTensor slopes(device, DType::f32, {s.H}), flat(device, DType::f32, {s.H});
    device.upload(slopes.data, laws.data(), laws.size() * sizeof(float));
    device.zero(flat.data, static_cast<size_t>(flat.bytes()));
    device.synchronize();
    LightningForward f;
    f.q = q;
    f.k = k;
    f.v = v;
    f.o = o;
    LightningBackward b;
    b.q = q;
    b.k = k;
    b.v = v;
    b.dout = dout;
    b.dq = dq;
    b.dk = dk;
    b.dv = dv;
    const LightningShape shape = check([&] {
        f.slopes = slopes;
        return f;
    }());
    const double rows = static_cast<double>(s.B * s.T * s.H);
    const double forward_bytes = rows * 4.0 * static_cast<double>(s.D + s.E);
    const double backward_bytes =
        rows * (8.0 * static_cast<double>(s.D) + 6.0 * static_cast<double>(s.E));
    for (const bool backward : {false, true}) {
        if (backward ? direction == 'f' : direction == 'b') continue;
        const ScanTarget target = backward ? scan_target(stream, b) : scan_target(stream, f);
        const ScanPlan chosen = plan_scan_sm90(shape, backward ? 3 : 1, target);
        fmt::print("B{} T{} H{} D{} E{} {}: {}\n", s.B, s.T, s.H, s.D, s.E,
                   backward ? "backward" : "forward", describe(chosen));
        if (chosen.kernel != ScanKernel::sm90) continue;
        for (const int tile : {64, 128})
            for (const int segments : {1, 2, 3, 4, 5, 6, 8, 11, 12, 16}) {
                const bool mine = segments == chosen.segments && tile == chosen.tile;
                const bool sensible =
                    s.B * s.H * segments * 128 / tile * (backward ? 3 : 1) <= 400 &&
                    segments * 4 <= s.T / 64 && tile <= chosen.tile;
                if (!mine && !(sensible && every_plan)) continue;
                ScanPlan plan = chosen;
                const Sm90Shared shared(plan.key_width, tile / 64);
                plan.tile = tile;
                plan.segments = segments;
                plan.shared = shared.bytes;
                plan.grid_x = shared.blocks * 132;
                plan.cluster = tile == chosen.tile ? chosen.cluster : 1;
                const OwnedTensor states(
                    device, DType::u8,
                    {static_cast<int64_t>(sm90_state_bytes(shape, plan, backward)) + 256});
                auto* room = static_cast<float*>(states.data);
                double us[2];
                for (const bool decays : {true, false}) {
                    f.slopes = b.slopes = decays ? slopes : flat;
                    us[decays] = microseconds(device, [&] {
                        if (backward)
                            sm90_backward(stream, plan, shape, b, nullptr, room);
                        else
                            sm90_forward(stream, plan, shape, f, nullptr, room);
                    });
                }
                const double bytes = backward ? backward_bytes : forward_bytes;
                const double chunks = std::ceil(static_cast<double>(s.T) / 64 / segments);
                fmt::print("{}{:4} {:3} segments {:9.1f} us {:.3f}   no decay {:9.1f} us {:.3f}   "
                           "{:.2f} us a chunk\n",
                           mine ? "*" : " ", tile, segments, us[1], bytes / us[1] * 1e6 / copy,
                           us[0], bytes / us[0] * 1e6 / copy, us[1] / chunks);
                std::fflush(stdout);
            }
    }
}

// One token for each of B sequences, states in place.
void run_decode(Device& device, int64_t B, int64_t H, int64_t D, double copy) {
    const OwnedTensor q = random(device, DType::bf16, {B, 1, H, D}, 1),
                      k = random(device, DType::bf16, {B, 1, H, D}, 2),
                      v = random(device, DType::bf16, {B, 1, H, D}, 3),
                      o = random(device, DType::bf16, {B, 1, H, D}, 4);
    const OwnedTensor slopes(device, DType::f32, {H}), state(device, DType::f32, {B, H, D, D});
    device.zero(slopes.data, static_cast<size_t>(slopes.bytes()));
    device.zero(state.data, static_cast<size_t>(state.bytes()));
    LightningForward call;
    call.q = q;
    call.k = k;
    call.v = v;
    call.o = o;
    call.slopes = slopes;
    call.state_in = call.state_out = state;
    const double us =
        microseconds(device, [&] { kernels_for(device).lightning_forward(device.stream(), call); });
    const double bytes =
        2 * static_cast<double>(state.bytes()) + 4 * static_cast<double>(q.bytes());
    fmt::print("decode B{} H{} D{}: {:.0f} MB of states, {:.1f} us, {:.3f} of copy\n", B, H, D,
               static_cast<double>(state.bytes()) / 1e6, us, bytes / us * 1e6 / copy);
}

} // namespace

int bench(int argc, char** argv) {
    const std::unique_ptr<Device> device = make_cuda_device(0, 1);
    CudaStream& stream = cuda_of(device->stream());
    const double copy = copy_bandwidth(*device);
    fmt::print("{}; copy {:.0f} GB/s\n", device->name(), copy / 1e9);
    std::vector<Shape> shapes;
    char direction = 0;
    bool every_plan = true;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "forward" || word == "backward") direction = word[0];
        if (word == "chosen") every_plan = false;
        if (word == "decode")
            for (const int64_t B : {1, 8, 32, 64, 256, 1024})
                for (const int64_t D : {64, 128}) run_decode(*device, B, 16, D, copy);
        Shape s{};
        if (std::sscanf(argv[i], "%ld,%ld,%ld,%ld,%ld", &s.B, &s.T, &s.H, &s.D, &s.E) == 5)
            shapes.push_back(s);
    }
    if (shapes.empty() && argc == 1)
        shapes = {{4, 1024, 32, 128, 128},
                  {4, 8192, 32, 128, 128},
                  {8, 2048, 8, 128, 128},
                  {1, 8192, 16, 128, 128},
                  {1, 131072, 16, 128, 128}};
    for (const Shape& s : shapes) run(*device, stream, s, copy, direction, every_plan);
    return 0;
}

} // namespace tnl::cuda

int main(int argc, char** argv) { return tnl::cuda::bench(argc, argv); }
