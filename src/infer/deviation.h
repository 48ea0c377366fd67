// How far computed values are from recorded ones: the largest absolute difference of a tensor and
// where it is. The scale-free error is that over the tensor's largest recorded magnitude.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace tnl {

struct Deviation {
    std::string tensor;
    std::vector<int64_t> shape;
    const char* form = ""; // how the worst value was computed
    double worst = 0;      // largest |computed - recorded|; infinite where computed is not finite
    int64_t at = 0;        // its element, row major
    double computed = 0, recorded = 0; // there
    double largest = 0;                // |recorded|
    int64_t count = 0;                 // values compared

    void add(int64_t index, double value, double wanted, const char* by) {
        ++count;
        largest = std::max(largest, std::abs(wanted));
        double difference = std::abs(value - wanted);
        if (!std::isfinite(value)) difference = std::numeric_limits<double>::infinity();
        if (difference <= worst && count > 1) return;
        worst = difference;
        at = index;
        computed = value;
        recorded = wanted;
        form = by;
    }
    // floor: a magnitude below which differences are rounding, whatever the tensor's own.
    double error(double floor = 0) const {
        const double scale = std::max(largest, floor);
        if (worst == 0) return 0;
        return scale > 0 ? worst / scale : std::numeric_limits<double>::infinity();
    }
};

} // namespace tnl
