// Errors. Every failure that a caller can cause is a tnl::Error whose message names the thing
// (file, field, tensor), its value, and what would be right. Only main and language bindings catch.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace tnl {

class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// A wrong command line or config value: exit code 2 rather than 1.
class UsageError : public Error {
  public:
    using Error::Error;
};

// A GPU, its driver or its libraries failed, or are not there.
class DeviceError : public Error {
  public:
    using Error::Error;
};

[[noreturn]] void fail_check(const char* condition, const std::string& message, const char* file,
                             int line);

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
    throw Error(fmt::format(format, std::forward<Args>(args)...));
}

} // namespace tnl

// Precondition of a function. The message says what was wrong in the caller's terms; condition and
// location are appended.
#define TNL_CHECK(condition, ...)                                                                  \
    do {                                                                                           \
        if (!(condition)) [[unlikely]]                                                             \
            ::tnl::fail_check(#condition, fmt::format(__VA_ARGS__), __FILE__, __LINE__);           \
    } while (false)
