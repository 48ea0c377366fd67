// Curves of runs, read from their metrics.jsonl.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace tnl {

enum class PlotX { steps, tokens, time };

inline std::vector<std::pair<std::string_view, PlotX>> enum_names(PlotX) {
    return {{"steps", PlotX::steps}, {"tokens", PlotX::tokens}, {"time", PlotX::time}};
}

struct Points {
    std::vector<double> x, y;
    bool empty() const { return x.empty(); }
};

struct Curve {
    std::string name;
    Points train;    // a value every log.every steps
    Points held_out; // measured on held-out data
};

// The values of `key` in RUN/metrics.jsonl: of "loss" with "eval_loss" as held out. x: steps,
// tokens, or seconds of training. Throws where there are none, naming the keys that there are. What
// is null (NaN, infinity) or in a line that is not whole is left out.
Curve read_curve(const std::filesystem::path& run, PlotX x, const std::string& key);

// The course of y: at each point the value there of the line fitted to its neighbours with Gaussian
// weights of `width` points. Lines, not means, so that the ends do not lean towards the middle.
std::vector<double> smoothed(const std::vector<double>& y, double width);

} // namespace tnl
