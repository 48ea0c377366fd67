// transnormer bench lightning on a GPU or with --shapes: a table of shapes; --flat: time a token
// against the length.
#include "cli/bench_lightning.h"

#include "ops/limits.h"

#include "train/plot.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace tnl {
namespace {

const AttentionShape kShapes[] = {
    {4, 1024, 32, 128, 128},     {4, 4096, 32, 128, 128},      {4, 32768, 32, 128, 128},
    {8, 2048, 8, 128, 128},      {1, 8192, 16, 128, 128},      {1, 131072, 16, 128, 128},
    {4, 4096, 32, 64, 64},       {4, 4096, 32, 96, 96},        {4, 4096, 32, 192, 192},
    {4, 4096, 32, 256, 256},     {1, 1, 16, 128, 128, true},   {8, 1, 16, 128, 128, true},
    {64, 1, 16, 128, 128, true}, {256, 1, 16, 128, 128, true}, {1024, 1, 16, 128, 128, true},
    {256, 1, 16, 64, 64, true},  {1024, 1, 16, 64, 64, true}};

AttentionShape parse_shape(const std::string& text, bool decode) {
    std::vector<int64_t> numbers;
    const char *at = text.data(), *const end = at + text.size();
    while (at < end && numbers.size() < 6) {
        int64_t n = 0;
        const auto [next, error] = std::from_chars(at, end, n);
        if (error != std::errc() || n < 1 || (next < end && *next != ',')) break;
        numbers.push_back(n);
        at = next < end ? next + 1 : next;
        if (next < end && at == end) break; // a comma and nothing more
    }
    const size_t n = numbers.size();
    if (at < end || text.ends_with(',') || (n != 4 && n != 5))
        throw UsageError(fmt::format("--shapes: '{}', wanted B,T,H,D or B,T,H,D,E", text));
    if (decode && numbers[1] != 1)
        throw UsageError(fmt::format("--shapes: '{}' with --decode, wanted T = 1", text));
    return {numbers[0], numbers[1], numbers[2], numbers[3], numbers[n - 1], decode};
}

std::vector<AttentionShape> wanted_shapes(const LightningOptions& o) {
    std::vector<AttentionShape> out;
    for (const std::string& text : o.shapes) out.push_back(parse_shape(text, o.decode));
    for (const int64_t T : o.lengths)
        out.push_back({o.batch, T, o.heads, o.width(), o.width(), false});
    if (out.empty())
        for (const AttentionShape& shape : kShapes)
            if (shape.decode || !o.decode) out.push_back(shape);
    return out;
}

BenchReport begin(Device& device, DType dtype, double copy) {
    BenchReport report;
    report.facts["device"] = device.name();
    report.facts["dtype"] = std::string(name_of(dtype));
    report.facts["copy_gigabytes_per_second"] = copy / 1e9;
    return report;
}

Json measured(Device& device, Attention& attention, const AttentionShape& shape, bool backward,
              double copy) {
    const double seconds =
        seconds_of_call(device, [&] { backward ? attention.backward() : attention.forward(); });
    Json row;
    row["pass"] = shape.decode ? "decode" : backward ? "backward" : "forward";
    row["B"] = shape.B;
    row["H"] = shape.H;
    row["T"] = shape.T;
    row["D"] = shape.D;
    row["E"] = shape.E;
    row["microseconds"] = seconds * 1e6;
    row["gigabytes_per_second"] = attention.bytes(backward) / seconds / 1e9;
    row["fraction_of_copy"] = attention.bytes(backward) / seconds / copy;
    row["teraflops_per_second"] = attention.flops(backward) / seconds / 1e12;
    row["state_megabytes"] = static_cast<double>(attention.state_bytes()) / 1e6;
    row["workspace_megabytes"] = static_cast<double>(attention.workspace_bytes(backward)) / 1e6;
    row["plan"] = attention.plan(backward);
    return row;
}

// Curves over "length" of the columns named, times `factor`.
Panel panel(const BenchReport& report, const std::string& title, const std::string& y_label,
            const std::vector<std::pair<const char*, const char*>>& columns, double factor) {
    Panel out;
    out.options.title = title;
    out.options.x_label = "length (tokens)";
    out.options.y_label = y_label;
    out.options.log_x = true;
    out.options.y_min = 0;
    out.options.height = 330;
    for (const auto& [key, name] : columns) {
        Curve curve{name, {}, {}};
        for (const Json& row : report.rows) {
            curve.held_out.x.push_back(row["length"].get<double>()); // a dot
            curve.held_out.y.push_back(row[key].get<double>() * factor);
        }
        out.curves.push_back(curve);
    }
    return out;
}

void draw_flat(const LightningOptions& o, const BenchReport& report) {
    Panel time =
        panel(report,
              fmt::format("{}, {}, {} heads of {}, {} tokens in all",
                          report.facts["device"].get<std::string>(),
                          report.facts["dtype"].get<std::string>(), o.heads, o.width(), o.tokens),
              "ps for a token of a head",
              {{"forward_nanoseconds_per_token_and_head", "forward"},
               {"backward_nanoseconds_per_token_and_head", "backward"}},
              1e3);
    const double tensors = report.rows.front()["tensors_megabytes"].get<double>();
    Panel memory = panel(
        report,
        fmt::format("Memory beyond inputs, outputs and gradients ({:.3g} GB)", tensors / 1e3), "MB",
        {{"forward_workspace_megabytes", "forward"}, {"backward_workspace_megabytes", "backward"}},
        1);
    double most = 1;
    for (const Curve& curve : memory.curves)
        for (const double y : curve.held_out.y) most = std::max(most, y);
    memory.options.y_max = 1.1 * most;
    write_plot(o.plot, {time, memory});
}

// How far the values of a column lie from their median, at most.
double largest_deviation(const BenchReport& report, const char* key) {
    std::vector<double> values;
    for (const Json& row : report.rows) values.push_back(row[key].get<double>());
    const double middle = median(values);
    double out = 0;
    for (const double x : values) out = std::max(out, std::abs(x / middle - 1));
    return out;
}

} // namespace

BenchReport bench_lightning_shapes(Device& device, const LightningOptions& o) {
    const std::vector<AttentionShape> shapes = wanted_shapes(o);
    const DType dtype = o.type(device);
    const double copy = copy_bandwidth(device);
    BenchReport report = begin(device, dtype, copy);
    report.facts["operations_counted_for_blocks_of"] = kLightningBlock;
    for (const AttentionShape& shape : shapes) {
        const double needed = Attention::needed_bytes(shape, dtype);
        if (needed > 0.95 * static_cast<double>(device.memory_free())) {
            fmt::print(stderr, "B={} H={} T={} D={} E={}: left out, {:.3g} GB do not fit\n",
                       shape.B, shape.H, shape.T, shape.D, shape.E, needed / 1e9);
            continue;
        }
        Attention attention(device, shape, dtype);
        report.rows.push_back(measured(device, attention, shape, false, copy));
        if (!shape.decode) report.rows.push_back(measured(device, attention, shape, true, copy));
    }
    return report;
}

BenchReport bench_lightning_flat(Device& device, const LightningOptions& o) {
    const DType dtype = o.type(device);
    const double copy = copy_bandwidth(device);
    BenchReport report = begin(device, dtype, copy);
    report.facts["tokens"] = o.tokens;
    report.facts["heads"] = o.heads;
    report.facts["head_dim"] = o.width();
    std::vector<int64_t> lengths = o.lengths;
    if (lengths.empty())
        for (int64_t T = 1024; T <= o.tokens; T *= 2) lengths.push_back(T);
    for (const int64_t T : lengths) {
        if (o.tokens % T != 0)
            throw UsageError(fmt::format("--flat: {} tokens are no whole number of sequences of {}",
                                         o.tokens, T));
        const AttentionShape shape{o.tokens / T, T, o.heads, o.width(), o.width(), false};
        Attention attention(device, shape, dtype);
        Json row;
        row["length"] = T;
        row["sequences"] = shape.B;
        for (const bool backward : {false, true}) {
            const std::string pass = backward ? "backward_" : "forward_";
            const double seconds = seconds_of_call(
                device, [&] { backward ? attention.backward() : attention.forward(); });
            row[pass + "nanoseconds_per_token_and_head"] =
                seconds * 1e9 / static_cast<double>(o.tokens * o.heads);
            row[pass + "fraction_of_copy"] = attention.bytes(backward) / seconds / copy;
            row[pass + "workspace_megabytes"] =
                static_cast<double>(attention.workspace_bytes(backward)) / 1e6;
        }
        row["tensors_megabytes"] = Attention::needed_bytes(shape, dtype) / 1e6;
        report.rows.push_back(row);
    }
    for (const std::string pass : {"forward", "backward"})
        report.facts[pass + "_largest_deviation_from_median"] =
            largest_deviation(report, (pass + "_nanoseconds_per_token_and_head").c_str());
    if (!o.plot.empty()) draw_flat(o, report);
    return report;
}

} // namespace tnl
