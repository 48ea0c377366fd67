// Where the time of training steps goes: each kernel's share of it, and how near it comes to what
// the device can do.
#pragma once

#include "base/json.h"
#include "ops/timed.h"

#include <string>
#include <vector>

namespace tnl {

// Measured (ops/limits.h): bytes read and written per second, operations per second of products.
struct DeviceLimits {
    double copy = 0, products = 0;
};
DeviceLimits measure_limits(Device& device, DType dtype);

struct KernelShare {
    std::string kernel;
    double seconds = 0, share = 0; // of all steps; of the whole time
    int64_t calls = 0;
    double flops_per_second = 0, bytes_per_second = 0; // what its limit is counted in, else 0
    double fraction = 0;                               // of the limit; 0: not known
};

// The sums of kernel_times() (ops/timed.h), longest first, as shares of `seconds`, and what is left
// over as a last row "(outside kernels)".
std::vector<KernelShare> kernel_shares(double seconds, const DeviceLimits& limits);

std::vector<Json> profile_rows(const std::vector<KernelShare>& shares);

// Times the kernels of some steps of a run.
class StepProfile {
  public:
    // Steps of the run before it: some to warm up, then some whose time is compared.
    static constexpr int64_t kWarmUp = 3, kPlain = 5;

    // Measures the device's limits: before the run takes its memory. device must outlive this.
    StepProfile(Device& device, DType dtype, int64_t steps);

    // The kernels that take the time, each waited for; nothing is added up before start().
    const Kernels& kernels() const { return timed_; }
    int64_t steps() const { return steps_; }

    void start();
    // The steps are done and took `seconds`; those before them, without the waits, plain_step each.
    std::vector<KernelShare> shares(double seconds) const;
    std::string table(double seconds, double plain_step) const;
    const DeviceLimits& limits() const { return limits_; }

  private:
    int64_t steps_;
    DeviceLimits limits_;
    Kernels timed_;
};

} // namespace tnl
