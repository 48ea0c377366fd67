// Named bump memory. An arena either measures (counts, allocates nothing) or hands out views of one
// allocation; the same code runs both times, so the measured size is exact and addresses never
// move. Scratch is taken inside a Scope and returned at its end.
#pragma once

#include "tensor/device.h"

#include <string>
#include <vector>

namespace tnl {

class Arena {
  public:
    // A measuring arena: tensor() returns views with null data and the right shape.
    static Arena measuring(std::string name);
    // An arena over one allocation of `bytes` on `device`.
    Arena(std::string name, Device& device, size_t bytes);
    Arena(Arena&&) = default;
    Arena& operator=(Arena&&) = default;

    Tensor tensor(DType dtype, std::initializer_list<int64_t> dims, const char* name);
    Tensor like(const Tensor& other, const char* name); // contiguous, same shape and dtype

    bool is_measuring() const { return device_ == nullptr; }
    size_t used() const { return used_; }
    size_t peak() const { return peak_; }
    size_t capacity() const { return buffer_.bytes(); }
    const std::string& name() const { return name_; }

    struct Entry {
        std::string name;
        size_t bytes = 0;
    };
    // What was alive at the peak, summed by name, largest first.
    std::vector<Entry> at_peak() const;

    // Everything taken after construction is returned at destruction (last in, first out).
    class Scope {
      public:
        explicit Scope(Arena& arena);
        ~Scope();
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

      private:
        Arena& arena_;
        size_t used_;
        size_t entries_;
    };
    [[nodiscard]] Scope scope() { return Scope(*this); }

  private:
    explicit Arena(std::string name) : name_(std::move(name)) {}
    std::string name_;
    Device* device_ = nullptr;
    Buffer buffer_;
    size_t used_ = 0, peak_ = 0;
    std::vector<Entry> live_, peak_entries_;
};

} // namespace tnl
