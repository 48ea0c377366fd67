#include "capi/run.h"

#include "base/cpu.h"
#include "base/threads.h"
#include "ops/lightning/lightning_cpu.h"
#include "tensor/device.h"

#include <pthread.h>

#include <mutex>
#include <vector>

namespace tnl::capi {
namespace {

// One pool for the whole process, made by the first call. It is never destroyed: threads that still
// run at exit need it. A fork takes none of its threads along, so the child makes another.
struct Pool {
    std::mutex mutex; // held by the call that runs
    int wanted = 0;
    ThreadPool* threads = nullptr;

    ThreadPool& get() {
        if (!threads) threads = new ThreadPool(wanted);
        return *threads;
    }
    static Pool& instance() {
        static Pool* const pool = [] {
            auto* made = new Pool;
            pthread_atfork([] { instance().mutex.lock(); }, [] { instance().mutex.unlock(); },
                           [] {
                               instance().threads = nullptr; // the parent's; its threads are not
                               instance().mutex.unlock();
                           });
            return made;
        }();
        return *pool;
    }
};

template <class F> void with_stream(F&& f) {
    Pool& pool = Pool::instance();
    const std::lock_guard lock(pool.mutex);
    Stream stream{DeviceKind::cpu, &pool.get(), nullptr};
    f(stream);
}

// f16 is a storage format on the CPU: copies in f32 stand for the caller's tensors.
class Widened {
  public:
    explicit Widened(Stream& stream) : stream_(stream) {}

    Tensor input(const Tensor& x) {
        const Tensor copy = room(x);
        for_rows(x, copy, [](const f16* from, float* to, int64_t n) {
            for (int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(from[i]);
        });
        return copy;
    }
    Tensor output(const Tensor& x) {
        outputs_.push_back({x, room(x)});
        return outputs_.back().second;
    }
    void store() {
        for (const auto& [x, copy] : outputs_)
            for_rows(x, copy, [](f16* to, const float* from, int64_t n) {
                for (int64_t i = 0; i < n; ++i) to[i] = f16(from[i]);
            });
    }

  private:
    Tensor room(const Tensor& x) {
        memory_.emplace_back(static_cast<size_t>(x.size()));
        return {memory_.back().data(), DType::f32, x.shape.data(), x.rank};
    }
    template <class F> void for_rows(const Tensor& x, const Tensor& copy, F&& f) {
        const int64_t T = x.shape[1], H = x.shape[2], width = x.shape[3];
        stream_.threads->parallel_for(x.shape[0] * T, 16, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
                for (int64_t h = 0; h < H; ++h)
                    f(x.as<f16>() + i / T * x.stride[0] + i % T * x.stride[1] + h * x.stride[2],
                      copy.as<float>() + (i * H + h) * width, width);
        });
    }
    Stream& stream_;
    std::vector<std::vector<float>> memory_;
    std::vector<std::pair<Tensor, Tensor>> outputs_;
};

} // namespace

void set_threads(int n) {
    if (n < 0 || n > 4096) fail("tnl_set_threads: {} threads, wanted 0 to 4096", n);
    Pool& pool = Pool::instance();
    const std::lock_guard lock(pool.mutex);
    if (n == pool.wanted) return;
    pool.wanted = n;
    delete pool.threads;
    pool.threads = nullptr;
}

int threads() {
    Pool& pool = Pool::instance();
    const std::lock_guard lock(pool.mutex);
    return pool.threads ? pool.threads->size() : pool.wanted ? pool.wanted : available_cores();
}

void forward_cpu(const tnl_lightning& call) {
    LightningForward forward = forward_of(call);
    with_stream([&](Stream& stream) {
        if (forward.q.dtype != DType::f16) return lightning_forward_cpu(stream, forward);
        Widened widened(stream);
        for (Tensor* x : {&forward.q, &forward.k, &forward.v}) *x = widened.input(*x);
        forward.o = widened.output(forward.o);
        lightning_forward_cpu(stream, forward);
        widened.store();
    });
}

void backward_cpu(const tnl_lightning& call) {
    LightningBackward backward = backward_of(call);
    with_stream([&](Stream& stream) {
        if (backward.q.dtype != DType::f16) return lightning_backward_cpu(stream, backward);
        Widened widened(stream);
        for (Tensor* x : {&backward.q, &backward.k, &backward.v, &backward.dout})
            *x = widened.input(*x);
        for (Tensor* x : {&backward.dq, &backward.dk, &backward.dv}) *x = widened.output(*x);
        lightning_backward_cpu(stream, backward);
        widened.store();
    });
}

std::string plan_cpu(const tnl_lightning& call, bool backward) {
    const LightningShape shape = shape_of(call);
    Tensor cu_seqlens;
    if (call.cu_seqlens)
        cu_seqlens = {const_cast<int32_t*>(call.cu_seqlens), DType::i32, {shape.sequences + 1}};
    return lightning_plan_cpu(shape, cu_seqlens, backward, threads()) +
           (shape.dtype == DType::f16 ? ", f16 through f32" : "");
}

} // namespace tnl::capi
