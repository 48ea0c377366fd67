// A fixed pool of threads with a static partition: the same range goes to the same rank every time,
// so results are bitwise repeatable for a given thread count.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace tnl {

class ThreadPool {
  public:
    // threads >= 1, the calling thread included; 0 means one per core this process may use.
    explicit ThreadPool(int threads = 0);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int size() const { return size_; }

    // Calls f(rank) once on every thread, rank 0 on the caller; returns when all are done. An
    // exception of any rank is rethrown (the lowest rank's). Nested calls run serially.
    template <class F> void run(F&& f) {
        using Fn = std::remove_reference_t<F>;
        run_erased([](void* context, int rank) { (*static_cast<Fn*>(context))(rank); },
                   const_cast<void*>(static_cast<const void*>(std::addressof(f))));
    }

    // Splits [0, n) into at most size() contiguous ranges of at least `grain` and calls
    // f(begin, end) for each. Small n runs on the caller alone.
    template <class F> void parallel_for(int64_t n, int64_t grain, F&& f) {
        if (n <= 0) return;
        const int64_t wanted = (n + grain - 1) / grain;
        const int parts = static_cast<int>(wanted < size_ ? wanted : size_);
        if (parts <= 1) {
            f(int64_t{0}, n);
            return;
        }
        run([&](int rank) {
            if (rank >= parts) return;
            const int64_t begin = n * rank / parts, end = n * (rank + 1) / parts;
            if (begin < end) f(begin, end);
        });
    }

  private:
    void run_erased(void (*call)(void*, int), void* context);
    struct Impl;
    std::unique_ptr<Impl> impl_;
    int size_;
};

// Number of cores in this process's affinity mask.
int available_cores();

} // namespace tnl
