#include "ops/lightning/lightning_cpu.h"

#include "ops/lightning/scan_cpu.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

namespace tnl {
namespace {

// Sequences up to this long are walked token by token in the forward: packing would cost more.
constexpr int64_t kSteps = 4;

struct Free {
    void operator()(float* p) const { std::free(p); }
};
using Floats = std::unique_ptr<float[], Free>;

Floats make_floats(int64_t n) {
    const size_t bytes = (static_cast<size_t>(n) * sizeof(float) + 63) / 64 * 64;
    auto* p = static_cast<float*>(std::aligned_alloc(64, std::max<size_t>(bytes, 64)));
    TNL_CHECK(p, "lightning attention: no memory for {} bytes of workspace", bytes);
    return Floats(p);
}

// This thread's, kept between calls.
float* workspace(int64_t n) {
    thread_local Floats floats;
    thread_local int64_t size = 0;
    if (n > size) {
        floats.reset();
        size = 0;
        floats = make_floats(n);
        size = n;
    }
    return floats.get();
}

// f(item) on all threads, in turn as they become free: no item's result depends on who computes it.
template <class F> void for_items(Stream& stream, int64_t items, F&& f) {
    if (items <= 1 || stream.threads->size() == 1) {
        for (int64_t i = 0; i < items; ++i) f(i);
        return;
    }
    std::atomic<int64_t> next{0};
    stream.threads->run([&](int) {
        for (int64_t i = next++; i < items; i = next++) f(i);
    });
}

std::vector<LightningDecay> decays_of(const Tensor& slopes) {
    std::vector<LightningDecay> out;
    for (int64_t h = 0; h < slopes.size(); ++h)
        out.push_back(lightning_decay(static_cast<double>(slopes.as<float>()[h])));
    return out;
}

// One scan of every sequence and head: which tensors play its parts (lightning_simd.h).
struct Roles {
    Tensor x, y, z, out;
    Tensor state_in, state_out; // optional
    bool state_in_transposed = false;
    bool reversed = false;
    float x_scale = 1, z_scale = 1;
    int64_t K = 0, N = 0;
};

template <class T> T* row(const Tensor& t, const SequenceRange& r, int64_t token, int64_t head) {
    return static_cast<T*>(t.data) + r.row * t.stride[0] + (r.begin + token) * t.stride[1] +
           head * t.stride[2];
}

template <class T> void run_scan(const LightningLoops& loops, LightningScan<T>& scan) {
    if constexpr (std::is_same_v<T, float>)
        loops.scan_f32(scan);
    else
        loops.scan_bf16(scan);
}

template <class T> void run_step(const LightningLoops& loops, const LightningStep<T>& step) {
    if constexpr (std::is_same_v<T, float>)
        loops.step_f32(step);
    else
        loops.step_bf16(step);
}

// All scans of a call. An item is one block of columns of one scan, or one segment of that.
template <class T> class Scans {
  public:
    Scans(const LightningLoops& loops, Stream& stream, const LightningShape& shape,
          const Tensor& slopes, const Tensor& cu_seqlens)
        : loops_(loops), stream_(stream), shape_(shape), cu_(cu_seqlens),
          slopes_(slopes.as<float>()), decays_(decays_of(slopes)) {}

    void add(const Roles& roles) { roles_.push_back(roles); }

    // Every scan of the sequences for which `wanted` (length) holds.
    template <class F> void run(F&& wanted) {
        request_ = {0, 0, 0, 0, 0, loops_.panel, stream_.threads->size()};
        for (const Roles& roles : roles_) {
            request_.K = std::max(request_.K, roles.K);
            request_.N = std::max(request_.N, roles.N);
        }
        for (int64_t i = 0; i < shape_.sequences; ++i) {
            const int64_t length = sequence_range(shape_, cu_, i).length;
            if (!wanted(length)) continue;
            const auto scans = shape_.H * static_cast<int64_t>(roles_.size());
            request_.scans += scans;
            request_.tokens += scans * length;
            request_.longest = std::max(request_.longest, length);
            for (int64_t h = 0; h < shape_.H; ++h)
                for (const Roles& roles : roles_) items_.push_back({&roles, i, h, length, 0, 0});
        }
        cut_ = cut_scan(request_);
        cut_columns();
        // the longest first, so that threads finish at about the same time
        std::stable_sort(items_.begin(), items_.end(),
                         [](const Item& a, const Item& b) { return a.length > b.length; });
        if (cut_.segments > 1)
            run_segments();
        else
            for_items(stream_, static_cast<int64_t>(items_.size()),
                      [&](int64_t i) { whole(items_[static_cast<size_t>(i)]); });
    }

  private:
    struct Item {
        const Roles* roles;
        int64_t sequence, head, length;
        int64_t begin, end; // columns
    };

    void cut_columns() {
        std::vector<Item> cut;
        for (const Item& item : items_) {
            const int64_t N = item.roles->N, panels = (N + loops_.panel - 1) / loops_.panel;
            const int64_t blocks =
                std::clamp<int64_t>(cut_.blocks, 1, std::max<int64_t>(panels, 1));
            for (int64_t b = 0; b < blocks; ++b) {
                Item part = item;
                part.begin = std::min(N, panels * b / blocks * loops_.panel);
                part.end = std::min(N, panels * (b + 1) / blocks * loops_.panel);
                cut.push_back(part);
            }
        }
        items_ = std::move(cut);
    }

    // The scan of tokens [from, from + tokens) of the walk.
    LightningScan<T> make(const Item& item, int64_t from, int64_t tokens, float* state,
                          float* memory) const {
        const Roles& r = *item.roles;
        const SequenceRange range = sequence_range(shape_, cu_, item.sequence);
        const int64_t first = r.reversed ? range.length - 1 - from : from;
        const int64_t way = r.reversed ? -1 : 1;
        return {
            .x = row<T>(r.x, range, first, item.head),
            .y = row<T>(r.y, range, first, item.head),
            .z = row<T>(r.z, range, first, item.head) + item.begin,
            .out = row<T>(r.out, range, first, item.head) + item.begin,
            .x_stride = way * r.x.stride[1],
            .y_stride = way * r.y.stride[1],
            .z_stride = way * r.z.stride[1],
            .out_stride = way * r.out.stride[1],
            .tokens = tokens,
            .K = r.K,
            .N = item.end - item.begin,
            .x_scale = r.x_scale,
            .z_scale = r.z_scale,
            .ahead = r.reversed ? 1 : 0,
            .decay = &decays_[static_cast<size_t>(item.head)],
            .state = state,
            .fresh = true,
            .want_state = static_cast<bool>(r.state_out),
            .workspace = memory,
        };
    }

    int64_t state_floats(const Item& item) const {
        return lightning_state_floats(loops_, item.roles->K, item.end - item.begin);
    }

    // Returns whether there is one.
    bool load_state(const Item& item, float* state) const {
        const Roles& r = *item.roles;
        if (!r.state_in) return false;
        const float* from =
            r.state_in.as<float>() + (item.sequence * shape_.H + item.head) * shape_.D * shape_.E;
        const int64_t N = item.end - item.begin;
        if (r.state_in_transposed)
            loops_.load_state_transposed(state, from + item.begin * shape_.E, shape_.E, r.K, N);
        else
            loops_.load_state(state, from + item.begin, shape_.E, r.K, N);
        return true;
    }

    void store_state(const Item& item, float* state, bool fresh) const {
        const Roles& r = *item.roles;
        if (!r.state_out) return;
        if (fresh) std::fill_n(state, state_floats(item), 0.0f);
        float* to = r.state_out.as<float>() +
                    (item.sequence * shape_.H + item.head) * shape_.D * shape_.E + item.begin;
        loops_.store_state(to, shape_.E, state, r.K, item.end - item.begin);
    }

    int64_t memory_floats(const Item& item) const {
        return lightning_workspace_floats(loops_, item.roles->K, item.end - item.begin);
    }

    void whole(const Item& item) const {
        const int64_t n = memory_floats(item);
        float* memory = workspace(n + state_floats(item));
        float* state = memory + n;
        LightningScan<T> scan = make(item, 0, item.length, state, memory);
        scan.fresh = !load_state(item, state);
        run_scan(loops_, scan);
        store_state(item, state, scan.fresh);
    }

    // Each segment's own state, then their sum along the walk, then the scans.
    void run_segments() {
        const auto items = static_cast<int64_t>(items_.size());
        const int64_t segments = cut_.segments;
        std::vector<Floats> states(static_cast<size_t>(items * segments));
        const auto at = [&](int64_t item, int64_t segment) -> Floats& {
            return states[static_cast<size_t>(item * segments + segment)];
        };
        const auto begin = [&](const Item& item, int64_t segment) {
            const int64_t chunks = (item.length + kLightningChunk - 1) / kLightningChunk;
            return std::min(item.length, chunks * segment / segments * kLightningChunk);
        };
        const auto item_at = [&](int64_t i) -> const Item& {
            return items_[static_cast<size_t>(i)];
        };
        // slot s + 1 holds what segment s adds
        for_items(stream_, items * segments, [&](int64_t k) {
            const int64_t i = k / segments, s = k % segments;
            const Item& item = item_at(i);
            if (s + 1 == segments) return;
            Floats& state = at(i, s + 1) = make_floats(state_floats(item));
            LightningScan<T> scan = make(item, begin(item, s), begin(item, s + 1) - begin(item, s),
                                         state.get(), workspace(memory_floats(item)));
            scan.out = nullptr;
            scan.want_state = true;
            run_scan(loops_, scan);
            if (scan.fresh) std::fill_n(state.get(), state_floats(item), 0.0f);
        });
        for_items(stream_, items, [&](int64_t i) {
            const Item& item = item_at(i);
            at(i, 0) = make_floats(state_floats(item));
            bool present = load_state(item, at(i, 0).get());
            if (!present) std::fill_n(at(i, 0).get(), state_floats(item), 0.0f);
            for (int64_t s = 0; s + 1 < segments; ++s) {
                const auto length = static_cast<double>(begin(item, s + 1) - begin(item, s));
                const auto decay = std::exp(-static_cast<double>(slopes_[item.head]) * length);
                const float *before = at(i, s).get(), *end = before + state_floats(item);
                for (float* state = at(i, s + 1).get(); before != end; ++before, ++state)
                    *state = static_cast<float>(decay * static_cast<double>(*before) +
                                                static_cast<double>(*state));
            }
        });
        for_items(stream_, items * segments, [&](int64_t k) {
            const int64_t i = k / segments, s = k % segments;
            const Item& item = item_at(i);
            float* state = at(i, s).get();
            LightningScan<T> scan = make(item, begin(item, s), begin(item, s + 1) - begin(item, s),
                                         state, workspace(memory_floats(item)));
            scan.fresh = s == 0 && !item.roles->state_in;
            scan.want_state = scan.want_state && s + 1 == segments;
            run_scan(loops_, scan);
            if (s + 1 == segments) store_state(item, state, false);
        });
    }

    const LightningLoops& loops_;
    Stream& stream_;
    const LightningShape& shape_;
    const Tensor& cu_;
    const float* slopes_;
    std::vector<LightningDecay> decays_;
    std::vector<Roles> roles_;
    std::vector<Item> items_;
    ScanRequest request_;
    ScanCut cut_;
};

// Short sequences, token by token: the state is read and written once for each.
template <class T>
void forward_steps(const LightningLoops& loops, Stream& stream, const LightningShape& shape,
                   const LightningForward& call) {
    struct Item {
        SequenceRange range;
        int64_t state;
    };
    std::vector<Item> items;
    for (int64_t i = 0; i < shape.sequences; ++i) {
        const SequenceRange range = sequence_range(shape, call.cu_seqlens, i);
        if (range.length <= kSteps) items.push_back({range, i * shape.H});
    }
    if (items.empty()) return;
    const std::vector<LightningDecay> decays = decays_of(call.slopes);
    const auto walk = [&](const Item& item, int64_t head) {
        const int64_t at = (item.state + head) * shape.D * shape.E;
        const float* in = call.state_in ? call.state_in.as<float>() + at : nullptr;
        float* out = call.state_out ? call.state_out.as<float>() + at : nullptr;
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
                                .keep = decays[static_cast<size_t>(head)].keep[1],
                                .change = decays[static_cast<size_t>(head)].change[1],
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
}

template <class T>
void forward(const LightningLoops& loops, Stream& stream, const LightningShape& shape,
             const LightningForward& call) {
    forward_steps<T>(loops, stream, shape, call);
    Scans<T> scans(loops, stream, shape, call.slopes, call.cu_seqlens);
    scans.add({.x = call.q,
               .y = call.k,
               .z = call.v,
               .out = call.o,
               .state_in = call.state_in,
               .state_out = call.state_out,
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
               .state_in_transposed = true,
               .x_scale = call.scale,
               .K = shape.E,
               .N = shape.D});
    scans.add({.x = call.v,
               .y = call.dout,
               .z = call.q,
               .out = call.dk,
               .state_in = call.dstate_out,
               .state_out = {},
               .state_in_transposed = true,
               .reversed = true,
               .z_scale = call.scale,
               .K = shape.E,
               .N = shape.D});
    scans.add({.x = call.k,
               .y = call.q,
               .z = call.dout,
               .out = call.dv,
               .state_in = call.dstate_out,
               .state_out = call.dstate_in,
               .reversed = true,
               .z_scale = call.scale,
               .K = shape.D,
               .N = shape.E});
    scans.run([](int64_t) { return true; });
}

template <class F> void dispatch(DType dtype, F&& f) {
    if (dtype == DType::bf16)
        f.template operator()<bf16>();
    else
        f.template operator()<float>();
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

} // namespace tnl
