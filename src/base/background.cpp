#include "base/background.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace tnl {

struct Background::Impl {
    std::mutex mutex;
    std::condition_variable changed;
    std::function<void()> job; // empty: none in hand
    std::exception_ptr error;
    bool ends = false;
    std::thread thread; // from the first job on

    void work() {
        std::unique_lock lock(mutex);
        while (true) {
            changed.wait(lock, [&] { return job || ends; });
            if (!job) return;
            lock.unlock();
            std::exception_ptr thrown;
            try {
                job();
            } catch (...) {
                thrown = std::current_exception();
            }
            lock.lock();
            job = nullptr;
            error = thrown;
            changed.notify_all();
        }
    }
};

Background::Background() : impl_(std::make_unique<Impl>()) {}

Background::~Background() {
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->ends = true;
    }
    impl_->changed.notify_all();
    if (impl_->thread.joinable()) impl_->thread.join();
}

void Background::start(std::function<void()> job) {
    wait();
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->job = std::move(job);
    }
    if (!impl_->thread.joinable()) impl_->thread = std::thread([this] { impl_->work(); });
    impl_->changed.notify_all();
}

bool Background::busy() const {
    const std::lock_guard lock(impl_->mutex);
    return static_cast<bool>(impl_->job);
}

void Background::wait() {
    std::unique_lock lock(impl_->mutex);
    impl_->changed.wait(lock, [&] { return !impl_->job; });
    if (impl_->error) std::rethrow_exception(std::exchange(impl_->error, nullptr));
}

} // namespace tnl
