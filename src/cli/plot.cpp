// transnormer plot: a picture of what runs have logged.
#include "cli/cli.h"
#include "cli/commands.h"

#include "base/check.h"
#include "train/plot.h"

#include <algorithm>

namespace tnl {
namespace {

struct PlotCommand {
    std::vector<std::string> runs, names;
    std::string output = "loss.png", y = "loss";
    PlotX x = PlotX::steps;
    PlotOptions plot;
};

std::string label_of(const std::string& key) {
    constexpr std::pair<const char*, const char*> kLabels[] = {
        {"loss", "loss (nats per token)"},
        {"eval_loss", "held-out loss (nats per token)"},
        {"lr", "learning rate"},
        {"grad_norm", "norm of the gradient"},
        {"tokens_per_second", "tokens per second"},
        {"bits_per_byte", "held-out bits per byte"},
        {"perplexity", "held-out perplexity"},
        {"mfu", "model FLOPs utilisation"}};
    for (const auto& [name, label] : kLabels)
        if (key == name) return label;
    return key;
}

// Seconds, minutes, hours or days, as suits the longest run.
void choose_time_unit(const std::vector<Curve>& curves, PlotOptions& plot) {
    double longest = 0;
    for (const Curve& curve : curves)
        for (const Points* p : {&curve.train, &curve.held_out})
            for (const double x : p->x) longest = std::max(longest, x);
    constexpr std::pair<double, const char*> kUnits[] = {
        {86400, "days"}, {3600, "hours"}, {60, "minutes"}, {1, "seconds"}};
    for (const auto& [unit, name] : kUnits) {
        if (longest < 2 * unit && unit > 1) continue;
        plot.x_unit = unit;
        plot.x_label = std::string("time of training (") + name + ")";
        return;
    }
}

int run_plot(PlotCommand c) {
    if (!c.names.empty() && c.names.size() != c.runs.size())
        throw UsageError(fmt::format("--name: {} names for {} runs, wanted one for each",
                                     c.names.size(), c.runs.size()));
    std::vector<Curve> curves;
    for (size_t i = 0; i < c.runs.size(); ++i) {
        curves.push_back(read_curve(c.runs[i], c.x, c.y));
        if (!c.names.empty()) curves.back().name = c.names[i];
    }
    c.plot.y_label = label_of(c.y);
    // These are exact: nothing to smooth away.
    if (c.plot.smooth < 0 && (c.y == "lr" || c.y == "epoch" || c.y == "tokens")) c.plot.smooth = 0;
    c.plot.x_label = c.x == PlotX::steps ? "steps" : "tokens";
    if (c.x == PlotX::time) choose_time_unit(curves, c.plot);
    write_plot(c.output, curves, c.plot);
    size_t points = 0;
    for (const Curve& curve : curves) points += curve.train.x.size() + curve.held_out.x.size();
    fmt::print("{}: {} points of {} run{}\n", c.output, points, curves.size(),
               curves.size() == 1 ? "" : "s");
    return kOk;
}

} // namespace

void add_plot_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand("plot", "Draw the curves of runs as a PNG or SVG");
    const auto c = std::make_shared<PlotCommand>();
    command->add_option("runs", c->runs, "Directories of runs, or their metrics.jsonl")->required();
    command->add_option("-o,--output", c->output, "Picture to write, .png or .svg");
    add_choice(*command, "--x", c->x, "Steps, tokens, or time of training");
    command->add_option("--y", c->y,
                        "loss, lr, grad_norm, tokens_per_second, bits_per_byte, perplexity, or any "
                        "number in metrics.jsonl");
    command->add_option("--name", c->names, "Name of a run in the legend; one for each run")
        ->allow_extra_args(false);
    command->add_option("--title", c->plot.title, "Title");
    command->add_flag("--log-x", c->plot.log_x, "Logarithmic x axis");
    command->add_flag("--log-y", c->plot.log_y, "Logarithmic y axis");
    command->add_option("--y-min", c->plot.y_min, "Lower end of the y axis");
    command->add_option("--y-max", c->plot.y_max, "Upper end of the y axis");
    command->add_option("--smooth", c->plot.smooth,
                        "Points that the line is averaged over; 0: none, -1: as many as suit");
    command->add_option("--width", c->plot.width, "Width, in points")
        ->check(CLI::Range(240.0, 8000.0));
    command->add_option("--height", c->plot.height, "Height, in points")
        ->check(CLI::Range(160.0, 8000.0));
    command->add_option("--scale", c->plot.scale, "Pixels of a PNG for each point")
        ->check(CLI::Range(0.5, 8.0));
    on_run(command, [c] { return run_plot(*c); });
}

} // namespace tnl
