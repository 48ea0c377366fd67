// transnormer bench lightning: the attention operator alone, against the peak of the machine.
#include "cli/bench_lightning.h"

#include "base/file.h"
#include "cli/machine.h"

#include <algorithm>

namespace tnl {
namespace {

// A length is run this often at least, and for this long.
constexpr double kLeastSeconds = 0.5;

// f(), a first call uncounted, until both enough calls and enough time have passed: the median.
template <class F> double median_seconds(int64_t repeats, F&& f) {
    f();
    std::vector<double> seconds;
    double total = 0;
    for (int64_t i = 0; i < repeats || total < kLeastSeconds; ++i) {
        seconds.push_back(f());
        total += seconds.back();
    }
    return median(seconds);
}

Json run_length(Device& device, const LightningOptions& o, int64_t T) {
    Attention attention(device, {o.batch, T, o.heads, o.width(), o.width(), false}, o.type(device));
    const double tf =
        median_seconds(o.repeats, [&] { return device.seconds([&] { attention.forward(); }); });
    const double tb =
        median_seconds(o.repeats, [&] { return device.seconds([&] { attention.backward(); }); });
    const auto rows = static_cast<double>(o.batch * T * o.heads);
    const double f = attention.flops(false), b = attention.flops(true);
    Json row;
    row["length"] = T;
    row["forward_milliseconds"] = tf * 1e3;
    row["backward_milliseconds"] = tb * 1e3;
    row["nanoseconds_per_token_and_head"] = (tf + tb) / rows * 1e9;
    row["forward_gigaflops_per_second"] = f / tf / 1e9;
    row["backward_gigaflops_per_second"] = b / tb / 1e9;
    row["both_gigaflops_per_second"] = (f + b) / (tf + tb) / 1e9;
    return row;
}

// The peak of the products that tensors of this dtype are multiplied with, or 0.
struct Peak {
    std::string name = "fp32";
    double flops = 0;
};
Peak peak_for(Device& device, DType dtype) {
    ThreadPool& pool = *device.stream().threads;
    if (dtype == DType::bf16)
        if (const double peak = bf16_peak(pool); peak > 0) return {"bf16", peak};
    return {"fp32", fp32_peak(pool)};
}

void add_fractions(Json& row, double peak) {
    for (const std::string part : {"forward", "backward", "both"})
        row[part + "_fraction_of_peak"] =
            row[part + "_gigaflops_per_second"].get<double>() / (peak / 1e9);
}

// One token for each sequence: the state is read and written once.
Json run_decode(Device& device, const LightningOptions& o) {
    Attention attention(device, {o.batch, 1, o.heads, o.width(), o.width(), true}, o.type(device));
    const double seconds =
        median_seconds(o.repeats, [&] { return device.seconds([&] { attention.forward(); }); });
    Json row;
    row["sequences"] = o.batch;
    row["milliseconds"] = seconds * 1e3;
    row["state_megabytes"] = static_cast<double>(attention.state_bytes()) / 1e6;
    row["read_and_written_gigabytes_per_second"] =
        2 * static_cast<double>(attention.state_bytes()) / seconds / 1e9;
    return row;
}

// The CPU, as a share of the peak of its products.
BenchReport bench_lengths(Device& device, LightningOptions o) {
    if (o.lengths.empty()) o.lengths = {1024, 4096, 16384, 65536, 262144};
    const DType dtype = o.type(device);
    BenchReport report;
    report.facts["device"] = device.name();
    report.facts["dtype"] = std::string(name_of(dtype));
    report.facts["batch"] = o.batch;
    report.facts["heads"] = o.heads;
    report.facts["head_dim"] = o.width();
    if (o.decode) {
        report.rows.push_back(run_decode(device, o));
        report.facts["memory_read_gigabytes_per_second"] = memory_read_bandwidth(device) / 1e9;
        return report;
    }
    Peak peak = peak_for(device, dtype);
    for (const int64_t T : o.lengths) report.rows.push_back(run_length(device, o, T));
    peak.flops = std::max(peak.flops, peak_for(device, dtype).flops);
    report.facts["operations_counted_for_blocks_of"] = kLightningBlock;
    for (Json& row : report.rows) add_fractions(row, peak.flops);
    report.facts["peak_of"] = peak.name + " products";
    report.facts["peak_gigaflops_per_second"] = peak.flops / 1e9;
    return report;
}

int run_lightning(const LightningOptions& o) {
    if (o.peers) return run_lightning_peers(o.out);
    const auto device = o.common.make();
    const bool cpu = device->kind() == DeviceKind::cpu;
    if (const DType dtype = o.type(*device);
        cpu ? dtype != DType::f32 && dtype != DType::bf16 : !is_float(dtype) || dtype == DType::f64)
        throw UsageError(fmt::format("--dtype {} on {}, wanted f32{} bf16{}", o.dtype,
                                     device->name(), cpu ? " or" : ",", cpu ? "" : " or f16"));
    const BenchReport report = o.accuracy                  ? bench_lightning_accuracy(*device, o)
                               : o.flat                    ? bench_lightning_flat(*device, o)
                               : !cpu || !o.shapes.empty() ? bench_lightning_shapes(*device, o)
                                                           : bench_lengths(*device, o);
    print_report(report, o.common.format);
    if (!o.csv.empty()) write_file_atomic(o.csv, csv_of(report.rows));
    return kOk;
}

} // namespace

void add_bench_lightning(CLI::App& bench) {
    CLI::App* command = bench.add_subcommand(
        "lightning", "The attention operator, forward and backward: time, bytes and operations per "
                     "second");
    command->footer(
        "On the CPU, --lengths as a share of the peak of such products (fp32, or bf16 where bf16 "
        "tensors are multiplied so), measured before and after. On a GPU, or with --shapes, a "
        "table of shapes as a share of the bandwidth of copies within its memory: the least that a "
        "call has to move (q, k, v, o; backward q, k, v, do, dq, dk, dv; decode the states too) "
        "by its time, the median of batches of calls in a row by the device's clock.");
    const auto o = std::make_shared<LightningOptions>();
    o->common.add_to(*command);
    command->add_option(
        "--dtype", o->dtype,
        "f32 or bf16, on a GPU f16 too; f32 on the CPU, bf16 on a GPU if not given");
    command->add_option("--shapes", o->shapes,
                        "B,T,H,D or B,T,H,D,E each: sequences, tokens, heads, widths of keys and "
                        "values");
    command->add_option("--batch", o->batch, "Sequences")->check(CLI::PositiveNumber);
    command->add_option("--heads", o->heads, "Heads")->check(CLI::PositiveNumber);
    command
        ->add_option("--dim", o->dim,
                     "Width of a head, keys and values; 128, with --accuracy 64, if not given")
        ->check(CLI::PositiveNumber);
    command
        ->add_option("--lengths", o->lengths,
                     "Tokens of a sequence, e.g. 512,8192; 4 KiB of memory each for every head "
                     "of 128 in f32")
        ->delimiter(',')
        ->check(CLI::PositiveNumber);
    CLI::Option* decode = command->add_flag(
        "--decode", o->decode,
        "One token for each of --batch sequences instead: bytes of the state per second; on a GPU "
        "at several sizes");
    CLI::Option* flat = command->add_flag(
        "--flat", o->flat,
        "Time for a token at every length from 1024 to --tokens, in as many sequences as make "
        "--tokens");
    command->add_option("--tokens", o->tokens, "Tokens in all, of --flat")
        ->needs(flat)
        ->check(CLI::PositiveNumber);
    command
        ->add_flag("--accuracy", o->accuracy,
                   "Errors against the recurrence in f64, beside those of the chunked form with "
                   "operands of products rounded to --dtype and sums in f32, for decay rates 0 to "
                   "8 at --lengths (1024 to 1048576)")
        ->excludes(flat)
        ->excludes(decode);
    flat->excludes(decode);
    command->add_option("--csv", o->csv, "Also write the rows to this file");
    command->add_option("--plot", o->plot, "Also draw time and memory of --flat, .png or .svg")
        ->needs(flat);
    command
        ->add_option("--repeats", o->repeats, "Calls timed at least, on the CPU; the median counts")
        ->check(CLI::PositiveNumber);
    command->add_flag("--peers", o->peers,
                      "What else is installed in Python, beside this package, on a GPU: table, CSV "
                      "and plot; TRANSNORMER_PYTHON names the Python, else python3");
    command->add_option("--out", o->out, "Folder of what --peers writes")->needs("--peers");
    on_run(command, [o] { return run_lightning(*o); });
}

} // namespace tnl
