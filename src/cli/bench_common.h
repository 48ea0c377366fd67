// What the subcommands of `transnormer bench` share.
#pragma once

#include "cli/bench_report.h"
#include "cli/cli.h"
#include "infer/session.h"

#include <chrono>
#include <string>

namespace tnl {

struct BenchOptions {
    std::string device = "cpu";
    int threads = 0;
    BenchFormat format = BenchFormat::text;

    void add_to(CLI::App& command);
    std::unique_ptr<Device> make() const { return make_device(device, threads); }
};

void add_bench_memory(CLI::App& bench);
void add_bench_decode(CLI::App& bench);
void add_bench_train(CLI::App& bench);
void add_bench_lightning(CLI::App& bench);
void add_bench_length(CLI::App& bench);

// bench/lightning_peers.py in a Python of the user's; its exit code.
int run_lightning_peers(const std::string& out);

// Weights drawn from N(0, 0.02), flat: every value from its own place in the
// generator up to 64M parameters of floats, else a block of 1M values again and again, as their
// values do not matter to speed.
void fill_random(const Model& model, Device& device, Tensor weights);
OwnedTensor random_weights(const Model& model, Device& device, DType dtype);

// Brings every slot of a session to `length` random tokens through the chunked form.
void extend_to(Session& session, int64_t length);

// Seconds of each of `steps` greedy steps of all slots.
std::vector<double> decode_steps(Session& session, int64_t steps);

class Stopwatch {
  public:
    double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    }

  private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

double median(std::vector<double> values);

} // namespace tnl
