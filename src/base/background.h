// A thread of its own that does one job at a time beside its owner.
#pragma once

#include <functional>
#include <memory>

namespace tnl {

class Background {
  public:
    Background();
    ~Background(); // after the job in hand; what it throws is lost
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

    // Waits for the job before, as wait() does, and begins this one.
    void start(std::function<void()> job);
    bool busy() const;
    // Until no job is in hand. Throws what the last one threw, once.
    void wait();

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace tnl
