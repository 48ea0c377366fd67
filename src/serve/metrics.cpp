#include "serve/metrics.h"

#include <fmt/format.h>

#include <algorithm>

namespace tnl {
namespace {

template <class T>
void value(std::string& out, const char* type, const char* name, const char* help, T number) {
    out += fmt::format("# HELP transnormer_{0} {1}\n# TYPE transnormer_{0} {2}\n"
                       "transnormer_{0} {3}\n",
                       name, help, type, number);
}

} // namespace

void Histogram::add(double seconds) {
    const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
    ++counts_[static_cast<size_t>(bound - kBounds.begin())];
    sum_ += seconds;
}

std::string Histogram::text(const std::string& name, const std::string& help) const {
    std::string out =
        fmt::format("# HELP transnormer_{0} {1}\n# TYPE transnormer_{0} histogram\n", name, help);
    int64_t total = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
        total += counts_[i];
        out += fmt::format("transnormer_{}_bucket{{le=\"{}\"}} {}\n", name,
                           i < kBounds.size() ? fmt::format("{}", kBounds[i]) : "+Inf", total);
    }
    return out +
           fmt::format("transnormer_{0}_sum {1}\ntransnormer_{0}_count {2}\n", name, sum_, total);
}

void ServerMetrics::response(int status) {
    const std::lock_guard lock(mutex_);
    ++responses_[status];
}

void ServerMetrics::connections(int change) {
    const std::lock_guard lock(mutex_);
    connections_ += change;
}

void ServerMetrics::first_token(double seconds) {
    const std::lock_guard lock(mutex_);
    first_token_.add(seconds);
}

void ServerMetrics::between_tokens(double seconds) {
    const std::lock_guard lock(mutex_);
    between_tokens_.add(seconds);
}

void ServerMetrics::finished(const std::string& reason, double seconds) {
    const std::lock_guard lock(mutex_);
    ++finished_[reason];
    whole_.add(seconds);
}

void ServerMetrics::dropped_slow_reader() {
    const std::lock_guard lock(mutex_);
    ++slow_readers_;
}

std::string ServerMetrics::text(const Engine::Stats& e, size_t state_bytes) const {
    std::string out;
    value(out, "gauge", "requests_waiting", "Requests in the queue.", e.waiting);
    value(out, "gauge", "sequences_running", "Sequences in slots.", e.running);
    value(out, "gauge", "slots", "Sequences that can run at once.", e.slots);
    value(out, "gauge", "state_bytes", "State of one sequence, whatever its length.", state_bytes);
    value(out, "counter", "requests_total", "Requests taken.", e.requests);
    value(out, "counter", "requests_cancelled_total", "Requests cancelled.", e.cancelled);
    value(out, "counter", "requests_failed_total", "Requests failed.", e.failed);
    value(out, "counter", "prompt_tokens_total", "Tokens of prompts.", e.prompt_tokens);
    value(out, "counter", "prompt_tokens_cached_total", "Of these, found in the prefix cache.",
          e.cached_prompt_tokens);
    value(out, "counter", "new_tokens_total", "Tokens generated.", e.new_tokens);
    value(out, "counter", "decode_steps_total", "Decode steps of the batch.", e.steps);
    value(out, "counter", "busy_seconds_total", "Time inside the model.", e.busy_seconds);
    value(out, "gauge", "prefix_cache_entries", "States in the prefix cache.",
          e.prefix_cache_entries);
    value(out, "gauge", "prefix_cache_bytes", "Memory of the prefix cache.", e.prefix_cache_bytes);
    const std::lock_guard lock(mutex_);
    value(out, "gauge", "connections", "Open connections.", connections_);
    value(out, "counter", "slow_readers_total", "Streams ended because their reader was too slow.",
          slow_readers_);
    out += "# HELP transnormer_responses_total HTTP responses by status.\n"
           "# TYPE transnormer_responses_total counter\n";
    for (const auto& [status, count] : responses_)
        out += fmt::format("transnormer_responses_total{{status=\"{}\"}} {}\n", status, count);
    out += "# HELP transnormer_finished_total Sequences by reason of their end.\n"
           "# TYPE transnormer_finished_total counter\n";
    for (const auto& [reason, count] : finished_)
        out += fmt::format("transnormer_finished_total{{reason=\"{}\"}} {}\n", reason, count);
    out += first_token_.text("time_to_first_token_seconds", "From request to first token.");
    out +=
        between_tokens_.text("between_tokens_seconds", "From one token of a sequence to the next.");
    return out + whole_.text("sequence_seconds", "From request to the end of a sequence.");
}

} // namespace tnl
