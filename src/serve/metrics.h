// What the server counts, in Prometheus' text format.
#pragma once

#include "infer/engine.h"

#include <array>
#include <map>
#include <mutex>
#include <string>

namespace tnl {

// Counts of durations, in seconds, up to bounds that grow by about 2.5.
class Histogram {
  public:
    void add(double seconds);
    // "name_bucket{le=...}", "name_sum" and "name_count" lines.
    std::string text(const std::string& name, const std::string& help) const;

  private:
    static constexpr std::array<double, 14> kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                       0.25,  0.5,    1,     2.5,  5,     10,   60};
    std::array<int64_t, kBounds.size() + 1> counts_{};
    double sum_ = 0;
};

// From any thread.
class ServerMetrics {
  public:
    void response(int status);
    void connections(int change);
    void first_token(double seconds);
    void between_tokens(double seconds);
    void finished(const std::string& reason, double seconds);
    void dropped_slow_reader();
    std::string text(const Engine::Stats& engine, size_t state_bytes) const;

  private:
    mutable std::mutex mutex_;
    std::map<int, int64_t> responses_;
    std::map<std::string, int64_t> finished_;
    int64_t connections_ = 0, slow_readers_ = 0;
    Histogram first_token_, between_tokens_, whole_;
};

} // namespace tnl
