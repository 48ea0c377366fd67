// The learning rate as a function of the step alone, so that a resumed run needs no state for it.
#pragma once

#include "base/check.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>
#include <utility>
#include <vector>

namespace tnl {

enum class ScheduleKind { cosine, linear, constant };

inline std::vector<std::pair<std::string_view, ScheduleKind>> enum_names(ScheduleKind) {
    return {{"cosine", ScheduleKind::cosine},
            {"linear", ScheduleKind::linear},
            {"constant", ScheduleKind::constant}};
}

struct Schedule {
    ScheduleKind kind = ScheduleKind::cosine;
    int64_t steps = 1;      // of the whole run
    int64_t warmup = 0;     // steps, rising linearly; the step after them has the peak
    double min_ratio = 0.1; // of the peak, reached at `steps`

    // Factor of the peak learning rate for the update of `step` (0-based), in (0, 1].
    double factor(int64_t step) const {
        if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup + 1);
        const double left = static_cast<double>(std::max<int64_t>(1, steps - warmup));
        const double progress = std::min(1.0, static_cast<double>(step - warmup) / left);
        switch (kind) {
        case ScheduleKind::cosine:
            return min_ratio + (1 - min_ratio) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
        case ScheduleKind::linear:
            return 1 - (1 - min_ratio) * progress;
        case ScheduleKind::constant:
            return 1;
        }
        fail("schedule kind {} is not known", static_cast<int>(kind));
    }
};

} // namespace tnl
