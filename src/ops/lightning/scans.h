// The scans of one call, cut into items for the threads of the CPU; included by lightning_cpu.cpp.
#pragma once

#include "ops/lightning/lightning.h"
#include "ops/lightning/scan_cpu.h"
#include "tensor/device.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

namespace tnl {
namespace lightning_cpu {

struct Free {
    void operator()(float* p) const { std::free(p); }
};
using Floats = std::unique_ptr<float[], Free>;

inline Floats make_floats(int64_t n) {
    const size_t bytes = (static_cast<size_t>(n) * sizeof(float) + 63) / 64 * 64;
    auto* p = static_cast<float*>(std::aligned_alloc(64, std::max<size_t>(bytes, 64)));
    TNL_CHECK(p, "lightning attention: no memory for {} bytes of workspace", bytes);
    return Floats(p);
}

// This thread's, kept between calls.
inline float* workspace(int64_t n) {
    thread_local Floats floats;
    thread_local int64_t size = 0;
    if (n > size) {
        floats.reset();
        size = 0;
        floats = make_floats(n);
        size = n;
    }
    // The analyzer of Clang 14 takes the thread's end for that of this function.
    return floats.get(); // NOLINT(clang-analyzer-unix.Malloc)
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

inline std::vector<LightningDecay> decays_of(const Tensor& slopes) {
    std::vector<LightningDecay> out;
    for (int64_t h = 0; h < slopes.size(); ++h)
        out.push_back(lightning_decay(static_cast<double>(slopes.as<float>()[h])));
    return out;
}

// One scan of every sequence and head: which tensors play its parts (lightning_simd.h).
struct Roles {
    Tensor x, y, z, out;
    Tensor state_in, state_out; // optional
    Tensor slots;               // whose state is whose (lightning.h), optional
    bool state_in_transposed = false;
    bool reversed = false;
    float x_scale = 1, z_scale = 1;
    int64_t K = 0, N = 0;
    bool second = false; // may run as the second of a pair with the scan added before it
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

template <class T>
void run_pair(const LightningLoops& loops, LightningScan<T>& scan, LightningScan<T>& second) {
    if constexpr (std::is_same_v<T, float>)
        loops.pair_f32(scan, second);
    else
        loops.pair_bf16(scan, second);
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
        ScanRequest request{.panel = loops_.panel, .threads = stream_.threads->size()};
        for (const Roles& roles : roles_) {
            request.K = std::max(request.K, roles.K);
            request.N = std::max(request.N, roles.N);
        }
        std::vector<int64_t> sequences;
        for (int64_t i = 0; i < shape_.sequences; ++i) {
            const int64_t length = sequence_range(shape_, cu_, i).length;
            if (!wanted(length)) continue;
            sequences.push_back(i);
            request.tokens += shape_.H * static_cast<int64_t>(roles_.size()) * length;
            request.longest = std::max(request.longest, length);
        }
        cut_ = cut_scan(request);
        const auto heads = static_cast<int64_t>(sequences.size()) * shape_.H;
        const bool pairs = cut_ == ScanCut{} && heads >= request.threads;
        for (const int64_t i : sequences) add_items(i, pairs);
        // the longest first, so that threads finish at about the same time
        std::stable_sort(items_.begin(), items_.end(),
                         [](const Item& a, const Item& b) { return a.work > b.work; });
        if (cut_.segments > 1)
            run_segments();
        else
            for_items(stream_, static_cast<int64_t>(items_.size()),
                      [&](int64_t i) { whole(items_[static_cast<size_t>(i)]); });
    }

  private:
    struct Item {
        const Roles* roles;
        const Roles* second; // of a pair, or null
        int64_t sequence, head, length;
        int64_t begin, end; // columns
        int64_t work;
    };

    void add_items(int64_t sequence, bool pairs) {
        const int64_t length = sequence_range(shape_, cu_, sequence).length;
        for (int64_t h = 0; h < shape_.H; ++h)
            for (size_t i = 0; i < roles_.size(); ++i) {
                const Roles& r = roles_[i];
                if (pairs && r.second) continue;
                const bool pair = pairs && i + 1 < roles_.size() && roles_[i + 1].second;
                const int64_t panels = (r.N + loops_.panel - 1) / loops_.panel;
                const int64_t blocks = std::clamp<int64_t>(panels, 1, cut_.blocks);
                for (int64_t b = 0; b < blocks; ++b)
                    items_.push_back({&r, pair ? &roles_[i + 1] : nullptr, sequence, h, length,
                                      std::min(r.N, panels * b / blocks * loops_.panel),
                                      std::min(r.N, panels * (b + 1) / blocks * loops_.panel),
                                      pair ? 2 * length : length});
            }
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
            .given = false,
            .workspace = memory,
        };
    }

    int64_t state_floats(const Item& item) const {
        return lightning_state_floats(loops_, item.roles->K, item.end - item.begin);
    }

    // Of the item's sequence and head in `states`; null where there is none.
    float* state_of(const Item& item, const Tensor& states) const {
        const int64_t slot = state_of_sequence(item.roles->slots, item.sequence);
        if (!states || slot < 0) return nullptr;
        return states.as<float>() + (slot * shape_.H + item.head) * shape_.D * shape_.E;
    }

    // Returns whether there is one.
    bool load_state(const Item& item, float* state) const {
        const Roles& r = *item.roles;
        const float* from = state_of(item, r.state_in);
        if (!from) return false;
        const int64_t N = item.end - item.begin;
        if (r.state_in_transposed)
            loops_.load_state_transposed(state, from + item.begin * shape_.E, shape_.E, r.K, N);
        else
            loops_.load_state(state, from + item.begin, shape_.E, r.K, N);
        return true;
    }

    void store_state(const Item& item, float* state, bool fresh) const {
        const Roles& r = *item.roles;
        float* const to = state_of(item, r.state_out);
        if (!to) return;
        if (fresh) std::fill_n(state, state_floats(item), 0.0f);
        loops_.store_state(to + item.begin, shape_.E, state, r.K, item.end - item.begin);
    }

    int64_t memory_floats(const Item& item) const {
        const auto size = std::is_same_v<T, float> ? loops_.workspace_f32 : loops_.workspace_bf16;
        return size(item.roles->K, item.end - item.begin);
    }

    void whole(const Item& item) const {
        if (item.second) return whole_pair(item);
        const int64_t n = memory_floats(item);
        float* memory = workspace(n + state_floats(item));
        float* state = memory + n;
        LightningScan<T> scan = make(item, 0, item.length, state, memory);
        scan.fresh = !load_state(item, state);
        run_scan(loops_, scan);
        store_state(item, state, scan.fresh);
    }

    void whole_pair(const Item& item) const {
        Item other = item;
        other.roles = item.second;
        other.end = item.second->N;
        const int64_t first = memory_floats(item), n = first + memory_floats(other);
        float* memory = workspace(n + state_floats(item) + state_floats(other));
        float* state = memory + n;
        LightningScan<T> scan = make(item, 0, item.length, state, memory);
        LightningScan<T> second =
            make(other, 0, item.length, state + state_floats(item), memory + first);
        scan.fresh = !load_state(item, state);
        second.given = true;
        run_pair(loops_, scan, second);
        store_state(item, state, scan.fresh);
    }

    // The first token of a segment.
    int64_t segment_begin(const Item& item, int64_t segment) const {
        const int64_t chunks = (item.length + kLightningChunk - 1) / kLightningChunk;
        return std::min(item.length, chunks * segment / cut_.segments * kLightningChunk);
    }
    LightningScan<T> make_segment(const Item& item, int64_t s, float* state) const {
        const int64_t begin = segment_begin(item, s), end = segment_begin(item, s + 1);
        return make(item, begin, end - begin, state, workspace(memory_floats(item)));
    }

    // Each segment's own state, then their sums along the walk, then the scans.
    void run_segments() {
        const int64_t segments = cut_.segments;
        const auto items = static_cast<int64_t>(items_.size());
        // of each item: the state before each segment
        std::vector<std::vector<Floats>> states(items_.size());
        for (auto& of_item : states) of_item.resize(static_cast<size_t>(segments));
        const auto for_segments = [&](int64_t count, auto&& f) {
            for_items(stream_, items * count, [&](int64_t i) {
                const auto item = static_cast<size_t>(i / count);
                f(items_[item], states[item], i % count);
            });
        };
        for_segments(segments, [&](const Item& item, std::vector<Floats>& state, int64_t s) {
            Floats& own = state[static_cast<size_t>((s + 1) % segments)];
            own = make_floats(state_floats(item));
            std::fill_n(own.get(), state_floats(item), 0.0f);
            if (s + 1 == segments) return; // not needed: room for the first state
            LightningScan<T> scan = make_segment(item, s, own.get());
            scan.out = nullptr;
            scan.want_state = true;
            run_scan(loops_, scan);
        });
        for_segments(1, [&](const Item& item, std::vector<Floats>& state, int64_t) {
            load_state(item, state[0].get());
            for (int64_t s = 0; s + 1 < segments; ++s)
                add_decayed(item, s, state[static_cast<size_t>(s + 1)].get(),
                            state[static_cast<size_t>(s)].get());
        });
        for_segments(segments, [&](const Item& item, std::vector<Floats>& state, int64_t s) {
            float* before = state[static_cast<size_t>(s)].get();
            LightningScan<T> scan = make_segment(item, s, before);
            scan.fresh = s == 0 && !state_of(item, item.roles->state_in);
            scan.want_state = scan.want_state && s + 1 == segments;
            run_scan(loops_, scan);
            if (s + 1 == segments) store_state(item, before, false);
        });
    }

    // The state before a segment, decayed over it, added to what the segment adds.
    void add_decayed(const Item& item, int64_t s, float* to, const float* before) const {
        const int64_t length = segment_begin(item, s + 1) - segment_begin(item, s);
        const double decay =
            std::exp(-static_cast<double>(slopes_[item.head]) * static_cast<double>(length));
        for (int64_t i = 0; i < state_floats(item); ++i)
            to[i] = static_cast<float>(decay * static_cast<double>(before[i]) +
                                       static_cast<double>(to[i]));
    }

    const LightningLoops& loops_;
    Stream& stream_;
    const LightningShape& shape_;
    const Tensor& cu_;
    const float* slopes_;
    std::vector<LightningDecay> decays_;
    std::vector<Roles> roles_;
    std::vector<Item> items_;
    ScanCut cut_;
};

} // namespace lightning_cpu
} // namespace tnl
