#include "corpus/jobs/process_name.h"

#include "base/check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace tnl::corpus {
namespace {

// Field 22 of /proc/<pid>/stat, empty where there is no such process. Fields begin behind the name
// of the program, which stands in parentheses and may hold anything.
std::string start_time(const std::string& pid) {
    std::ifstream file("/proc/" + pid + "/stat");
    std::string line;
    if (!std::getline(file, line)) return "";
    const size_t end = line.rfind(')');
    if (end == std::string::npos) return "";
    std::istringstream fields(line.substr(end + 1));
    std::string field;
    for (int i = 3; i <= 22; ++i) fields >> field;
    return field;
}

// host.namespace.
const std::string& machine_prefix() {
    static const std::string prefix = [] {
        char host[256] = {};
        ::gethostname(host, sizeof host - 1);
        struct stat info {};
        const bool known = ::stat("/proc/self/ns/pid", &info) == 0;
        return fmt::format("{}.{}.", host, known ? info.st_ino : 0);
    }();
    return prefix;
}

} // namespace

const std::string& process_name() {
    static const std::string name = fmt::format("{}{}.{}", machine_prefix(), ::getpid(),
                                                start_time(std::to_string(::getpid())));
    return name;
}

bool is_gone(std::string_view name) {
    if (!name.starts_with(machine_prefix())) return false;
    const std::string_view rest = name.substr(machine_prefix().size());
    const size_t dot = rest.find('.');
    if (dot == std::string_view::npos) return false;
    return start_time(std::string(rest.substr(0, dot))) != rest.substr(dot + 1);
}

} // namespace tnl::corpus
