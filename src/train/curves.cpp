#include "train/curves.h"

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/nearest.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>

namespace tnl {
namespace fs = std::filesystem;
namespace {

const char* name_of(PlotX x) {
    switch (x) {
    case PlotX::steps:
        return "step";
    case PlotX::tokens:
        return "tokens";
    case PlotX::time:
        return "seconds";
    }
    fail("x axis {} is not known", static_cast<int>(x));
}

void add(Points& points, const Json& line, const char* x, const std::string& key) {
    const auto at = line.find(x), value = line.find(key);
    if (at == line.end() || value == line.end() || !at->is_number() || !value->is_number()) return;
    points.x.push_back(at->get<double>());
    points.y.push_back(value->get<double>());
}

} // namespace

Curve read_curve(const fs::path& run, PlotX x, const std::string& key) {
    const fs::path path = fs::is_directory(run) ? run / "metrics.jsonl" : run;
    std::istringstream lines(read_file(path));
    Curve curve;
    fs::path name = fs::absolute(run).lexically_normal();
    if (!name.has_filename()) name = name.parent_path();
    curve.name = name.filename() == "metrics.jsonl" ? name.parent_path().filename().string()
                                                    : name.filename().string();
    std::set<std::string> keys;
    for (std::string line; std::getline(lines, line);) {
        const Json json = Json::parse(line, nullptr, false);
        if (json.is_discarded() || !json.is_object()) continue;
        for (const auto& [each, value] : json.items()) keys.insert(each);
        const bool held_out = json.contains("eval_loss");
        add(held_out ? curve.held_out : curve.train, json, name_of(x),
            held_out && key == "loss" ? "eval_loss" : key);
    }
    if (keys.empty()) fail("{}: has no metrics", path.string());
    if (curve.train.empty() && curve.held_out.empty()) {
        const std::vector<std::string> known(keys.begin(), keys.end());
        fail("{}: has no \"{}\"; the nearest is \"{}\", of {}", path.string(), key,
             nearest(key, known), fmt::join(known, ", "));
    }
    // Tokens are in lines of both kinds; a run's learning rate is not of its held-out data.
    if (!curve.train.empty() && key != "loss") curve.held_out = {};
    return curve;
}

std::vector<double> smoothed(const std::vector<double>& y, double width) {
    if (width <= 0) return y;
    const auto n = static_cast<int64_t>(y.size());
    const auto reach = static_cast<int64_t>(std::ceil(3 * width));
    std::vector<double> out(y.size());
    for (int64_t i = 0; i < n; ++i) {
        double w0 = 0, w1 = 0, w2 = 0, wy = 0, wzy = 0; // moments about i
        for (int64_t j = std::max<int64_t>(0, i - reach); j <= std::min(n - 1, i + reach); ++j) {
            const double z = static_cast<double>(j - i) / width, w = std::exp(-0.5 * z * z);
            const double value = y[static_cast<size_t>(j)];
            w0 += w;
            w1 += w * z;
            w2 += w * z * z;
            wy += w * value;
            wzy += w * z * value;
        }
        const double determinant = w0 * w2 - w1 * w1;
        out[static_cast<size_t>(i)] =
            determinant > 1e-9 * w0 * w2 ? (w2 * wy - w1 * wzy) / determinant : wy / w0;
    }
    return out;
}

} // namespace tnl
