// Watches the loss and the gradient norm of every step for NaN, infinity and spikes. Its verdict is
// a function of the losses seen, which checkpoints keep: a resumed run decides as the first would.
#pragma once

#include "base/json.h"

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tnl {

enum class GuardAction {
    stop, // end the run with an error
    skip, // drop the update of that step and go on
    off
};

inline std::vector<std::pair<std::string_view, GuardAction>> enum_names(GuardAction) {
    return {{"stop", GuardAction::stop}, {"skip", GuardAction::skip}, {"off", GuardAction::off}};
}

struct GuardConfig {
    GuardAction action = GuardAction::stop;
    int64_t window = 128;
    double sigmas = 10, ratio = 1.5;
    int64_t max_skips = 20;

    void validate() const; // throws UsageError
    template <class V> void fields(V&& visit) {
        visit("action", action,
              "on a loss that is NaN, infinite or a spike: stop (error), skip (drop that update) "
              "or off");
        visit("window", window, "steps whose losses a spike is measured against");
        visit("sigmas", sigmas, "a spike is this many standard deviations above the window's mean");
        visit("ratio", ratio, "... and this many times the window's mean");
        visit("max_skips", max_skips, "stop after so many steps in a row were skipped");
    }
};

class Guard {
  public:
    explicit Guard(const GuardConfig& config) : config_(config) {}

    struct Verdict {
        bool apply = true;  // use this step's gradient
        bool stop = false;  // end the run
        std::string reason; // empty when all is well: "loss 9.31 is a spike: ..."
    };
    // loss: mean nats per token of the step; norm: of its gradient.
    Verdict judge(double loss, double norm);

    int64_t skipped() const { return skipped_; } // updates dropped so far

    Json state() const;
    void restore(const Json& state); // throws where a field is missing or of the wrong kind

  private:
    std::string problem(double loss, double norm) const;
    GuardConfig config_;
    std::deque<double> losses_; // of the last `window` steps whose update was applied
    int64_t skipped_ = 0, in_a_row_ = 0;
};

} // namespace tnl
