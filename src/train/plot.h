// Draws curves of runs as a picture: PNG or SVG.
#pragma once

#include "train/curves.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tnl {

struct PlotOptions {
    std::string title, x_label, y_label;
    bool log_x = false, log_y = false;
    std::optional<double> y_min, y_max; // the data's if absent
    double smooth = -1;                 // points, of the Gaussian; 0: none; -1: 1/60 of them
    double width = 720, height = 440;   // SVG: points; PNG: pixels at scale 1
    double scale = 2;                   // PNG: pixels for each of those
    double x_unit = 1;                  // x is divided by it: 3600 for hours
};

// path ends in .png or .svg (UsageError otherwise). Each curve in its own colour: the values faint,
// their smoothed course strong, held-out values as dots. Written whole or not at all.
void write_plot(const std::filesystem::path& path, const std::vector<Curve>& curves,
                const PlotOptions& options);

// Several of them in one picture, below each other.
struct Panel {
    std::vector<Curve> curves;
    PlotOptions options; // scale: the first one's counts
};
void write_plot(const std::filesystem::path& path, const std::vector<Panel>& panels);

} // namespace tnl
