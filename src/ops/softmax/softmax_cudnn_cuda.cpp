// Softmax attention by cuDNN: a plan for each shape, kept.
#include "ops/softmax/program_cudnn_cuda.h"
#include "ops/softmax/softmax_cuda.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <mutex>
#include <optional>

namespace tnl {
namespace {

using cudnn::Ids;
using cudnn::Key;
using cudnn::Program;
using cudnn::Strides;
constexpr int64_t kNone = cudnn::Graph::kNone;

// Up to here cuDNN may keep dP as a whole, of which dQ is then summed in one order: the backward
// repeats bit for bit. Beyond, dQ is summed as blocks come to their end.
constexpr int64_t kRepeatableBytes = int64_t{1} << 30;

// The handles and plans of the process.
struct Programs {
    std::mutex mutex;
    std::map<int, cudnnHandle_t> handles;
    std::map<Key, Program> programs;

    cudnnHandle_t handle(const CudaStream& stream) {
        auto [at, fresh] = handles.emplace(stream.device, nullptr);
        if (fresh) cudnn::check(cudnn::library()->create(&at->second), "cudnnCreate");
        cudnn::check(cudnn::library()->set_stream(at->second, stream.stream), "cudnnSetStream");
        return at->second;
    }
    const Program& program(const Key& key, cudnnHandle_t handle) {
        const auto found = programs.find(key);
        if (found != programs.end()) return found->second;
        return programs.emplace(key, cudnn::make_program(key, handle)).first->second;
    }
};
Programs& all_programs() {
    static Programs* const p = new Programs; // cuDNN may be gone before static objects are
    return *p;
}

bool fits(const SoftmaxShape& shape) {
    return cudnn::library() && shape.dtype == DType::bf16 && shape.D % 8 == 0 && shape.D <= 128;
}

int64_t power_of_two(int64_t n) {
    return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n)));
}

// What calls in both directions have in common.
struct Call {
    Key key;
    std::vector<SoftmaxSequence> sequences; // of a packed call
    std::optional<Strides> strides(const Tensor& t) const {
        // Aligned as the graph says its tensors are.
        if (reinterpret_cast<uintptr_t>(t.data) % 16 || t.stride[1] % 8 || t.stride[2] % 8)
            return {};
        const bool rows_of_one = t.shape[0] == 1; // sequences one after the other
        return Strides{rows_of_one ? key.T * t.stride[1] : t.stride[0], t.stride[2], t.stride[1]};
    }
};

// Null where cuDNN cannot: softmax_cuda.h.
std::optional<Call> call_of(const CudaStream& stream, const SoftmaxShape& shape,
                            const Tensor& cu_seqlens) {
    if (!fits(shape) || shape.T == 0) return {};
    Call call;
    Key& key = call.key;
    key.device = stream.device;
    key.B = shape.sequences;
    key.H = shape.H;
    key.K = shape.K;
    key.D = shape.D;
    key.T = equal_length(shape, cu_seqlens);
    key.packed = key.T == 0;
    if (!key.packed) return call;
    if (shape.K != shape.H) return {};
    int64_t longest = 0;
    for (int64_t i = 0; i < shape.sequences; ++i) {
        call.sequences.push_back(sequence_of(shape, cu_seqlens, i));
        longest = std::max(longest, call.sequences.back().length);
    }
    key.B = power_of_two(shape.sequences);
    key.T = std::max<int64_t>(64, power_of_two(longest));
    return call;
}

// Bytes of the offsets and lengths of packed sequences: at most four multiples of cu_seqlens.
size_t table_bytes(int64_t sequences) {
    const int64_t B = power_of_two(std::max<int64_t>(1, sequences));
    return static_cast<size_t>((4 * (B + 1) + B) * 8);
}
constexpr size_t kAlign = 256;

// Tensors of the workspace, one after the other.
class Workspace {
  public:
    explicit Workspace(const Tensor& memory)
        : next_(static_cast<char*>(memory.data)), end_(next_ ? next_ + memory.bytes() : next_) {}
    void* take(size_t bytes) {
        char* const at = next_;
        next_ += (bytes + kAlign - 1) / kAlign * kAlign;
        TNL_CHECK(at && next_ <= end_, "softmax attention: a workspace of {} bytes is too small",
                  end_ - at);
        return at;
    }

  private:
    char *next_, *end_;
};

class Execution {
  public:
    Execution(CudaStream& stream, const Call& call, const Tensor& workspace, float scale)
        : stream_(stream), call_(call), workspace_(workspace), scale_(scale),
          lock_(all_programs().mutex), handle_(all_programs().handle(stream)),
          program_(all_programs().program(call.key, handle_)) {}

    const Ids& ids() const { return program_.ids; }
    void bind(int64_t id, void* pointer) {
        if (id == kNone) return;
        ids_.push_back(id);
        pointers_.push_back(pointer);
    }
    void* scratch(size_t bytes) { return workspace_.take(bytes); }

    void run() {
        // Before 9.10 a sum over nothing but infinities is none.
        float infinity =
            cudnn::library()->version() < 91000 ? std::numeric_limits<float>::lowest() : -INFINITY;
        float one = 1;
        bind(ids().scale, &scale_);
        bind(ids().infinity, &infinity);
        bind(ids().one, &one);
        bind_table();
        const auto bytes = static_cast<size_t>(program_.plan.workspace());
        program_.plan.execute(handle_, ids_, pointers_, bytes ? stream_.scratch(bytes) : nullptr);
    }

  private:
    // Lengths and offsets; the sequences that fill up to B are empty ones at the end.
    void bind_table() {
        if (!call_.key.packed) return;
        const auto B = static_cast<size_t>(call_.key.B), n = call_.sequences.size();
        const size_t wide = B + 1, count = ids().offsets.size();
        std::vector<int64_t> table(wide * count + (B + 1) / 2, 0);
        const SoftmaxSequence& last = call_.sequences.back();
        for (size_t m = 0; m < count; ++m)
            for (size_t i = 0; i <= B; ++i)
                table[m * wide + i] =
                    (i < n ? call_.sequences[i].begin : last.begin + last.length) *
                    ids().offsets[m].first;
        auto* lengths = reinterpret_cast<int32_t*>(table.data() + wide * count);
        for (size_t i = 0; i < n; ++i) lengths[i] = static_cast<int32_t>(call_.sequences[i].length);
        const size_t bytes = table.size() * sizeof(int64_t);
        auto* memory = static_cast<int64_t*>(workspace_.take(bytes));
        // The runtime copies pageable memory before it returns.
        check_cuda(
            cudaMemcpyAsync(memory, table.data(), bytes, cudaMemcpyHostToDevice, stream_.stream),
            "upload of packed sequences");
        for (size_t m = 0; m < count; ++m) bind(ids().offsets[m].second, memory + m * wide);
        bind(ids().lengths, memory + wide * count);
    }

    CudaStream& stream_;
    const Call& call_;
    Workspace workspace_;
    float scale_;
    std::lock_guard<std::mutex> lock_;
    cudnnHandle_t handle_;
    const Program& program_;
    std::vector<int64_t> ids_;
    std::vector<void*> pointers_;
};

} // namespace

bool softmax_forward_cudnn(CudaStream& stream, const SoftmaxForward& c, const SoftmaxShape& shape) {
    std::optional<Call> call = call_of(stream, shape, c.cu_seqlens);
    if (!call) return false;
    const auto q = call->strides(c.q), k = call->strides(c.k), v = call->strides(c.v),
               o = call->strides(c.o);
    if (!q || !k || !v || !o) return false;
    call->key.q = *q;
    call->key.k = *k;
    call->key.v = *v;
    call->key.o = *o;
    Execution run(stream, *call, c.workspace, c.scale);
    run.bind(run.ids().q, c.q.data);
    run.bind(run.ids().k, c.k.data);
    run.bind(run.ids().v, c.v.data);
    run.bind(run.ids().o, c.o.data);
    run.bind(run.ids().stats, c.lse.data);
    run.run();
    return true;
}

bool softmax_backward_cudnn(CudaStream& stream, const SoftmaxBackward& c,
                            const SoftmaxShape& shape) {
    std::optional<Call> call = call_of(stream, shape, c.cu_seqlens);
    if (!call) return false;
    Key& key = call->key;
    key.backward = true;
    key.repeatable = key.B * key.H * key.T * key.T * 2 <= kRepeatableBytes;
    const auto lie = [&](std::initializer_list<std::pair<Strides*, const Tensor*>> all) {
        return std::ranges::all_of(all, [&](const auto& one) {
            const auto s = call->strides(*one.second);
            if (s) *one.first = *s;
            return s.has_value();
        });
    };
    // What the forward read decides, as it did there: lse is cuDNN's.
    if (!lie({{&key.q, &c.q}, {&key.k, &c.k}, {&key.v, &c.v}, {&key.o, &c.o}})) return false;
    TNL_CHECK(lie({{&key.dout, &c.dout}, {&key.dq, &c.dq}, {&key.dk, &c.dk}, {&key.dv, &c.dv}}),
              "softmax attention: dout, dq, dk or dv begins at no multiple of 16 bytes");
    Execution run(stream, *call, c.workspace, c.scale);
    const Ids& ids = run.ids();
    run.bind(ids.q, c.q.data);
    run.bind(ids.k, c.k.data);
    run.bind(ids.v, c.v.data);
    run.bind(ids.o, c.o.data);
    run.bind(ids.stats, c.lse.data);
    run.bind(ids.dout, c.dout.data);
    run.bind(ids.dq, c.dq.data);
    run.bind(ids.dk, c.dk.data);
    run.bind(ids.dv, c.dv.data);
    const auto N = static_cast<size_t>(shape.B * shape.T), H = static_cast<size_t>(shape.H);
    run.bind(ids.sum, run.scratch(N * H * sizeof(float)));
    if (ids.dq_sum != kNone) {
        const size_t row =
            key.packed ? static_cast<size_t>(key.dq.token) : H * static_cast<size_t>(shape.D);
        run.bind(ids.dq_sum, run.scratch(N * row * sizeof(float)));
    }
    run.run();
    return true;
}

size_t softmax_workspace_cudnn(const SoftmaxShape& shape, bool backward) {
    if (!fits(shape)) return 0;
    size_t bytes = table_bytes(shape.sequences) + kAlign;
    if (backward) {
        // dQ is summed in rows as far apart as those of q, k and v together.
        const int64_t row = shape.H + (shape.H + 2 * shape.K) * shape.D;
        bytes += static_cast<size_t>(shape.B * shape.T * row) * sizeof(float) + 2 * kAlign;
    }
    return bytes;
}

std::string softmax_cudnn_version() {
    if (!cudnn::library()) return "no libcudnn.so.9 of 9.6 or later was found";
    const size_t v = cudnn::library()->version();
    return fmt::format("cuDNN {}.{}.{}", v / 10000, v / 100 % 100, v % 100);
}

} // namespace tnl
