#include "base/check.h"

namespace tnl {

void fail_check(const char* condition, const std::string& message, const char* file, int line) {
    throw Error(fmt::format("{} [{} at {}:{}]", message, condition, file, line));
}

} // namespace tnl
