// Ctrl-C and SIGTERM as a wish to stop: the step is finished and saved. A second one ends the
// process at once, with exit code 130.
#pragma once

namespace tnl {

// While one lives, SIGINT and SIGTERM are caught; the former handlers come back after it.
class StopSignal {
  public:
    StopSignal();
    ~StopSignal();
    StopSignal(const StopSignal&) = delete;
    StopSignal& operator=(const StopSignal&) = delete;

    static bool requested();
};

} // namespace tnl
