#include "base/threads.h"

#include "base/check.h"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace tnl {
namespace {

thread_local bool inside_pool = false;

// Spinning hides the wake-up latency between the many short regions of one layer. Past this many
// polls, near 0.2 ms, a thread sleeps: an idle pool costs nothing, and where other programs want
// the cores, a thread that waits for one that was put aside leaves its core to that one and does
// not use up its own share.
constexpr int kSpins = 4000;

} // namespace

int available_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    return static_cast<int>(std::thread::hardware_concurrency());
}

struct ThreadPool::Impl {
    std::vector<std::thread> workers;
    std::mutex mutex;
    std::condition_variable wake;
    std::atomic<uint64_t> generation{0};
    std::atomic<int> pending{0};
    std::atomic<bool> stop{false};
    void (*call)(void*, int) = nullptr;
    void* context = nullptr;
    std::vector<std::exception_ptr> errors;

    void work(int rank) {
        inside_pool = true;
        uint64_t seen = 0;
        for (;;) {
            for (int i = 0; i < kSpins && generation.load(std::memory_order_acquire) == seen; ++i)
                __builtin_ia32_pause();
            if (generation.load(std::memory_order_acquire) == seen) {
                std::unique_lock lock(mutex);
                wake.wait(lock, [&] { return generation.load() != seen; });
            }
            seen = generation.load(std::memory_order_acquire);
            if (stop.load()) return;
            invoke(rank);
            if (pending.fetch_sub(1, std::memory_order_acq_rel) == 1) pending.notify_one();
        }
    }
    void invoke(int rank) {
        try {
            call(context, rank);
        } catch (...) {
            errors[static_cast<size_t>(rank)] = std::current_exception();
        }
    }
};

ThreadPool::ThreadPool(int threads)
    : impl_(std::make_unique<Impl>()), size_(threads > 0 ? threads : available_cores()) {
    TNL_CHECK(size_ >= 1 && size_ <= 4096, "thread pool of {} threads, wanted 1 to 4096", size_);
    impl_->errors.resize(static_cast<size_t>(size_));
    for (int rank = 1; rank < size_; ++rank)
        impl_->workers.emplace_back([this, rank] { impl_->work(rank); });
}

ThreadPool::~ThreadPool() {
    {
        std::lock_guard lock(impl_->mutex);
        impl_->stop = true;
        impl_->generation.fetch_add(1);
    }
    impl_->wake.notify_all();
    for (auto& worker : impl_->workers) worker.join();
}

void ThreadPool::run_erased(void (*call)(void*, int), void* context) {
    if (size_ == 1 || inside_pool) {
        for (int rank = 0; rank < size_; ++rank) call(context, rank);
        return;
    }
    {
        std::lock_guard lock(impl_->mutex);
        impl_->call = call;
        impl_->context = context;
        for (auto& error : impl_->errors) error = nullptr;
        impl_->pending.store(size_ - 1, std::memory_order_relaxed);
        impl_->generation.fetch_add(1, std::memory_order_release);
    }
    impl_->wake.notify_all();
    inside_pool = true;
    impl_->invoke(0);
    inside_pool = false;
    for (int i = 0; i < kSpins && impl_->pending.load(std::memory_order_acquire) != 0; ++i)
        __builtin_ia32_pause();
    while (const int left = impl_->pending.load(std::memory_order_acquire))
        impl_->pending.wait(left, std::memory_order_acquire);
    for (auto& error : impl_->errors)
        if (error) std::rethrow_exception(error);
}

} // namespace tnl
