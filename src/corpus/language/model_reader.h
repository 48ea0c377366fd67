// Numbers and texts of a binary file, which may be cut short or wrong.
#pragma once

#include "base/check.h"

#include <cstdint>
#include <istream>
#include <string>
#include <type_traits>
#include <vector>

namespace tnl::corpus {

class ModelReader {
  public:
    // `size` bytes of a stream; `name` stands for them in errors.
    ModelReader(std::istream& in, uint64_t size, std::string name)
        : name_(std::move(name)), in_(in), left_(size) {}
    template <class T> T number() {
        static_assert(std::is_arithmetic_v<T>);
        T out;
        bytes(&out, sizeof out);
        return out;
    }
    template <class T> std::vector<T> numbers(int64_t count) {
        if (count < 0 || static_cast<uint64_t>(count) > left_ / sizeof(T))
            wrong(fmt::format("says that {} numbers follow", count));
        std::vector<T> out(static_cast<size_t>(count));
        bytes(out.data(), out.size() * sizeof(T));
        return out;
    }
    std::string text() { // up to a zero
        std::string out;
        for (char c; (c = number<char>()) != 0;) out += c;
        return out;
    }
    uint64_t left() const { return left_; }
    [[noreturn]] void wrong(const std::string& what) const {
        fail("{}: {}; wanted a whole fastText model (.bin or .ftz)", name_, what);
    }

  private:
    void bytes(void* to, size_t count) {
        if (count > left_) wrong("ends too early");
        in_.read(static_cast<char*>(to), static_cast<std::streamsize>(count));
        if (!in_) wrong("cannot be read");
        left_ -= count;
    }
    std::string name_;
    std::istream& in_;
    uint64_t left_;
};

} // namespace tnl::corpus
