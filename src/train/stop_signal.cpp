#include "train/stop_signal.h"

#include <atomic>
#include <csignal>
#include <cstring>
#include <unistd.h>

namespace tnl {
namespace {

// A signal may come to any thread: one that writes a checkpoint, say.
std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free); // as a handler needs it
struct sigaction former_interrupt, former_terminate;

void on_signal(int) {
    if (stop_requested.exchange(true)) _exit(130);
    constexpr char kMessage[] =
        "\nFinishing this step, then saving; once more to stop at once without saving.\n";
    [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
}

} // namespace

StopSignal::StopSignal() {
    stop_requested = false;
    struct sigaction action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART; // writes of a checkpoint go on
    sigaction(SIGINT, &action, &former_interrupt);
    sigaction(SIGTERM, &action, &former_terminate);
}

StopSignal::~StopSignal() {
    sigaction(SIGINT, &former_interrupt, nullptr);
    sigaction(SIGTERM, &former_terminate, nullptr);
}

bool StopSignal::requested() { return stop_requested; }

} // namespace tnl
