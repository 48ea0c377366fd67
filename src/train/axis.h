// An axis of a plot: its range, where its ticks are, what they say. Pure functions, no drawing.
#pragma once

#include <string>
#include <vector>

namespace tnl {

struct Tick {
    double value = 0;
    std::string label; // empty: a small tick between two labelled ones
};

class Axis {
  public:
    // Covers [low, high], about `count` labelled ticks. log: low must be positive.
    Axis(double low, double high, int count, bool log);

    // Where a value lies, 0 at the low end, 1 at the high end.
    double position(double value) const;
    double low() const { return low_; }
    double high() const { return high_; }
    const std::vector<Tick>& ticks() const { return ticks_; }

  private:
    void linear_ticks(int count);
    void log_ticks(int count);
    double low_, high_;
    bool log_;
    std::vector<Tick> ticks_;
};

// 0, 0.25, 1.5, 200, 20k, 1.5M, 2e-05: as many digits as a difference of `step` needs.
std::string tick_label(double value, double step);

} // namespace tnl
