#include "train/guard.h"

#include "base/check.h"

#include <algorithm>
#include <cmath>

namespace tnl {
namespace {

// Fewer losses say too little about what is usual.
constexpr int64_t kFewest = 16;

const char* text(double not_finite) { return std::isnan(not_finite) ? "NaN" : "infinite"; }

} // namespace

void GuardConfig::validate() const {
    const auto want = [](bool ok, const char* field, auto value, const char* wanted) {
        if (!ok) throw UsageError(fmt::format("guard.{} = {}: wanted {}", field, value, wanted));
    };
    want(window >= kFewest, "window", window, "at least 16 steps");
    want(sigmas > 0, "sigmas", sigmas, "a positive number");
    want(ratio >= 1, "ratio", ratio, "1 or more");
    want(max_skips >= 1, "max_skips", max_skips, "1 or more");
}

std::string Guard::problem(double loss, double norm) const {
    if (!std::isfinite(loss)) return fmt::format("the loss is {}", text(loss));
    if (!std::isfinite(norm)) return fmt::format("the gradient's norm is {}", text(norm));
    const auto n = static_cast<int64_t>(losses_.size());
    if (n < std::min(kFewest, config_.window)) return "";
    double mean = 0, variance = 0;
    for (double x : losses_) mean += x;
    mean /= static_cast<double>(n);
    for (double x : losses_) variance += (x - mean) * (x - mean);
    const double deviation = std::sqrt(variance / static_cast<double>(n));
    if (loss > mean + config_.sigmas * deviation && loss > config_.ratio * mean)
        return fmt::format("the loss {:.4f} is a spike: the last {} steps had {:.4f} ± {:.4f}",
                           loss, n, mean, deviation);
    return "";
}

Guard::Verdict Guard::judge(double loss, double norm) {
    if (config_.action == GuardAction::off) return {};
    Verdict verdict;
    verdict.reason = problem(loss, norm);
    if (verdict.reason.empty()) {
        in_a_row_ = 0;
        losses_.push_back(loss);
        if (static_cast<int64_t>(losses_.size()) > config_.window) losses_.pop_front();
        return verdict;
    }
    verdict.apply = false;
    verdict.stop = config_.action == GuardAction::stop;
    if (!verdict.stop) {
        ++skipped_;
        if (++in_a_row_ >= config_.max_skips) {
            verdict.stop = true;
            verdict.reason += fmt::format("; {} steps in a row were skipped", in_a_row_);
        }
    }
    return verdict;
}

Json Guard::state() const {
    Json out;
    out["losses"] = Json::array();
    for (double x : losses_) out["losses"].push_back(x);
    out["skipped"] = skipped_;
    out["in_a_row"] = in_a_row_;
    return out;
}

void Guard::restore(const Json& state) {
    const JsonFields fields(state, "guard");
    const std::vector<double> losses = fields.numbers("losses");
    losses_.assign(losses.begin(), losses.end());
    // A window made smaller forgets the oldest.
    while (static_cast<int64_t>(losses_.size()) > config_.window) losses_.pop_front();
    skipped_ = fields.whole("skipped");
    in_a_row_ = fields.whole("in_a_row");
}

} // namespace tnl
