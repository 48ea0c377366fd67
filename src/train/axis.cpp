#include "train/axis.h"

#include "base/check.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace tnl {
namespace {

// 1, 2 or 5 times a power of ten, nearest to x from above.
double round_step(double x) {
    const double power = std::pow(10.0, std::floor(std::log10(x)));
    for (const double factor : {1.0, 2.0, 5.0})
        if (factor * power >= x * (1 - 1e-9)) return factor * power;
    return 10 * power;
}

int decimals(double step) {
    return std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
}

} // namespace

std::string tick_label(double value, double step) {
    if (std::abs(value) < step * 1e-6) return "0";
    const double size = std::abs(value);
    constexpr std::pair<double, const char*> kUnits[] = {
        {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
    if (step >= 1 && size >= 1e4)
        for (const auto& [unit, name] : kUnits)
            if (size >= unit)
                return fmt::format("{:.{}f}{}", value / unit, decimals(step / unit), name);
    if (size < 1e-3) {
        const double power = std::pow(10.0, std::floor(std::log10(size) + 1e-9));
        return fmt::format("{:.{}f}e{:.0f}", value / power, decimals(std::min(1.0, step / power)),
                           std::log10(power));
    }
    return fmt::format("{:.{}f}", value, decimals(step));
}

Axis::Axis(double low, double high, int count, bool log) : low_(low), high_(high), log_(log) {
    TNL_CHECK(std::isfinite(low) && std::isfinite(high) && low <= high,
              "axis from {} to {}, wanted finite numbers in order", low, high);
    TNL_CHECK(!log || low > 0, "a logarithmic axis from {}, wanted a positive number", low);
    if (low_ == high_) { // one value: room around it
        const double room = low_ == 0 ? 1 : std::abs(low_) * 0.1;
        low_ -= room;
        high_ += room;
    }
    if (log_)
        log_ticks(count);
    else
        linear_ticks(count);
}

double Axis::position(double value) const {
    if (log_) return std::log(value / low_) / std::log(high_ / low_);
    return (value - low_) / (high_ - low_);
}

void Axis::linear_ticks(int count) {
    const double step = round_step((high_ - low_) / std::max(1, count));
    const auto first = static_cast<int64_t>(std::ceil(low_ / step - 1e-9));
    for (int64_t i = first; static_cast<double>(i) * step <= high_ + step * 1e-9; ++i) {
        const double value = static_cast<double>(i) * step;
        ticks_.push_back({value, tick_label(value, step)});
    }
}

void Axis::log_ticks(int count) {
    const double decades = std::log10(high_ / low_);
    if (decades < 0.8) return linear_ticks(count); // too short for decades to say much
    const auto begin = static_cast<int>(std::floor(std::log10(low_) - 1e-9));
    const auto end = static_cast<int>(std::ceil(std::log10(high_) + 1e-9));
    const int every = std::max(1, static_cast<int>(std::ceil(decades / count)));
    for (int power = begin; power <= end; ++power)
        for (int digit = 1; digit < 10; ++digit) {
            const double value = digit * std::pow(10.0, power);
            if (value < low_ * (1 - 1e-9) || value > high_ * (1 + 1e-9)) continue;
            const bool labelled =
                (digit == 1 && power % every == 0) ||
                (every == 1 && decades * 3 <= count && (digit == 2 || digit == 5));
            if (labelled || every == 1)
                ticks_.push_back({value, labelled ? tick_label(value, std::pow(10.0, power)) : ""});
        }
}

} // namespace tnl
