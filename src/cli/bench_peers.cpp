// transnormer bench lightning --peers: hands over to the script that measures Python's libraries.
#include "cli/bench_common.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace tnl {
namespace {

constexpr const char* kScript = "lightning_peers.py";

// Beside an installed program (share/transnormer), or in the source tree it was built in.
std::filesystem::path find_script() {
    const std::filesystem::path here =
        std::filesystem::read_symlink("/proc/self/exe").parent_path();
    const auto installed = here.parent_path() / "share/transnormer" / kScript;
    if (std::filesystem::exists(installed)) return installed;
    for (auto folder = here;; folder = folder.parent_path()) {
        if (std::filesystem::exists(folder / "bench" / kScript)) return folder / "bench" / kScript;
        if (folder == folder.parent_path()) break;
    }
    fail("{} is neither at {} nor in a folder bench above {}", kScript, installed.string(),
         here.string());
}

} // namespace

int run_lightning_peers(const std::string& out) {
    const std::string script = find_script().string();
    const char* chosen = std::getenv("TRANSNORMER_PYTHON");
    const char* python = chosen ? chosen : "python3";
    execlp(python, python, script.c_str(), "--out", out.c_str(), static_cast<char*>(nullptr));
    fail("{} does not start: {}; TRANSNORMER_PYTHON names another Python", python,
         std::strerror(errno));
}

} // namespace tnl
