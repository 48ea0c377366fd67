#include "train/profile.h"

#include "ops/limits.h"

namespace tnl {

DeviceLimits measure_limits(Device& device, DType dtype) {
    return {copy_bandwidth(device), product_rate(device, dtype)};
}

std::vector<KernelShare> kernel_shares(double seconds, const DeviceLimits& limits) {
    std::vector<KernelShare> rows;
    double left = seconds;
    for (const KernelTime& t : kernel_times()) {
        KernelShare row;
        row.kernel = t.name;
        row.seconds = t.seconds;
        row.share = t.seconds / seconds;
        row.calls = t.calls;
        row.flops_per_second = t.flops / t.seconds;
        row.bytes_per_second = t.bytes / t.seconds;
        // Products of 8 bits have a limit of their own, which is not measured.
        if (t.flops == 0)
            row.fraction = row.bytes_per_second / limits.copy;
        else if (row.kernel == "gemm")
            row.fraction = row.flops_per_second / limits.products;
        rows.push_back(row);
        left -= t.seconds;
    }
    KernelShare rest;
    rest.kernel = "(outside kernels)";
    rest.seconds = left;
    rest.share = left / seconds;
    rows.push_back(rest);
    return rows;
}

std::vector<Json> profile_rows(const std::vector<KernelShare>& shares) {
    std::vector<Json> rows;
    for (const KernelShare& s : shares) {
        Json row;
        row["kernel"] = s.kernel;
        row["seconds"] = s.seconds;
        row["share"] = s.share;
        row["calls"] = s.calls;
        row["gigaflops_per_second"] = s.flops_per_second / 1e9;
        row["gigabytes_per_second"] = s.bytes_per_second / 1e9;
        row["fraction_of_limit"] = s.fraction;
        rows.push_back(row);
    }
    return rows;
}

StepProfile::StepProfile(Device& device, DType dtype, int64_t steps)
    : steps_(steps), limits_(measure_limits(device, dtype)),
      timed_(timed_kernels(kernels_for(device), &device)) {}

void StepProfile::start() { reset_kernel_times(); }

std::vector<KernelShare> StepProfile::shares(double seconds) const {
    return kernel_shares(seconds, limits_);
}

std::string StepProfile::table(double seconds, double plain_step) const {
    const auto n = static_cast<double>(steps_);
    std::string out = fmt::format(
        "Profile of {} step{}: {:.2f} ms each, every kernel waited for; {:.2f} ms without.\n"
        "Limits as measured: copies {:.0f} GB/s, products {:.1f} TFLOP/s.\n"
        "  {:<20} {:>9} {:>7} {:>7} {:>15} {:>9}",
        steps_, steps_ == 1 ? "" : "s", seconds / n * 1e3, plain_step * 1e3, limits_.copy / 1e9,
        limits_.products / 1e12, "kernel", "ms a step", "share", "calls", "rate", "of limit");
    for (const KernelShare& s : shares(seconds)) {
        const std::string rate =
            s.flops_per_second > 0   ? fmt::format("{:.1f} TFLOP/s", s.flops_per_second / 1e12)
            : s.bytes_per_second > 0 ? fmt::format("{:.0f} GB/s", s.bytes_per_second / 1e9)
                                     : "";
        out += fmt::format("\n  {:<20} {:>9.3f} {:>6.1f}% {:>7} {:>15} {:>9}", s.kernel,
                           s.seconds / n * 1e3, 100 * s.share,
                           s.calls > 0 ? std::to_string(s.calls / steps_) : "", rate,
                           s.fraction > 0 ? fmt::format("{:.2f}", s.fraction) : "");
    }
    return out;
}

} // namespace tnl
