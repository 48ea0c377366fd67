#include "base/check.h"

namespace tnl {

void fail_check(const char* condition, const std::string& message,
                const std::source_location& where) {
    throw Error(fmt::format("{} [{} at {}:{}]", message, condition, where.file_name(),
                            where.line()));
}

} // namespace tnl
