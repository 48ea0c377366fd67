// transnormer bench lightning: the attention operator alone, against the peak of the machine.
#include "base/rng.h"
#include "cli/bench_common.h"
#include "cli/machine.h"

#include <algorithm>
#include <cmath>

namespace tnl {
namespace {

struct LightningOptions {
    BenchOptions common;
    std::string dtype = "f32";
    int64_t batch = 1, heads = 4, dim = 128, repeats = 5;
    std::vector<int64_t> lengths{1024, 4096, 16384, 65536, 262144};
    bool decode = false;
    bool peers = false;
    std::string out = ".";
};

// Operations that the chunked form (ops/lightning/lightning.h) needs for one token of one head, in
// blocks of m tokens, products of triangular matrices counted by half:
//   forward   QK^T, PV: (m+1)(D+E)    QS and the state's update: 4DE
//   backward  QK^T, dO V^T, GK, G^TQ, P^TdO: (m+1)(3D+2E)
//             dO S^T, V D^T, K D and the updates of S and D: 10DE
constexpr int64_t kBlock = 64;
double forward_flops(double D, double E) { return (kBlock + 1) * (D + E) + 4 * D * E; }
double backward_flops(double D, double E) { return (kBlock + 1) * (3 * D + 2 * E) + 10 * D * E; }

// Numbers drawn for a tensor, repeated to fill it.
constexpr size_t kDrawn = 1 << 20;

// A length is run this often at least, and for this long.
constexpr double kSeconds = 0.5;

OwnedTensor random_tensor(Device& device, DType dtype, std::initializer_list<int64_t> dims,
                          uint64_t stream) {
    OwnedTensor out(device, dtype, dims);
    dispatch_float(dtype, [&]<class T>() {
        std::vector<T> values(static_cast<size_t>(out.size()));
        const size_t drawn = std::min(values.size(), kDrawn);
        for (size_t i = 0; i < drawn; ++i)
            values[i] = T(static_cast<float>(2 * Philox{4, stream}.uniform(i) - 1));
        for (size_t i = drawn; i < values.size(); ++i) values[i] = values[i - drawn];
        device.upload(out.data, values.data(), values.size() * sizeof(T));
        device.synchronize();
    });
    return out;
}

class Attention {
  public:
    Attention(Device& device, const LightningOptions& o, int64_t T)
        : device_(device), kernels_(kernels_for(device)) {
        const DType dtype = dtype_from_name(o.dtype);
        const int64_t B = o.batch, H = o.heads, D = o.dim;
        uint64_t stream = 0;
        for (OwnedTensor* t : {&q_, &k_, &v_, &dout_, &o_, &dq_, &dk_, &dv_})
            *t = random_tensor(device, dtype, {B, T, H, D}, stream++);
        std::vector<float> slopes; // ALiBi's, as in the first layer of a released model
        for (int64_t h = 1; h <= H; ++h)
            slopes.push_back(std::exp2(-8.0f * static_cast<float>(h) / static_cast<float>(H)));
        slopes_ = OwnedTensor(device, DType::f32, {H});
        device.upload(slopes_.data, slopes.data(), slopes.size() * sizeof(float));
        forward_.q = q_;
        forward_.k = k_;
        forward_.v = v_;
        forward_.o = o_;
        forward_.slopes = slopes_;
        backward_.q = q_;
        backward_.k = k_;
        backward_.v = v_;
        backward_.dout = dout_;
        backward_.dq = dq_;
        backward_.dk = dk_;
        backward_.dv = dv_;
        backward_.slopes = slopes_;
        const LightningShape shape{B, T, H, D, D, B, dtype};
        const auto forward = static_cast<int64_t>(kernels_.lightning_workspace(shape, false));
        const auto backward = static_cast<int64_t>(kernels_.lightning_workspace(shape, true));
        workspace_ = OwnedTensor(device, DType::u8, {std::max({forward, backward, int64_t{1}})});
        forward_.workspace = workspace_.slice(0, 0, forward);
        backward_.workspace = workspace_.slice(0, 0, backward);
        if (o.decode) {
            state_ = OwnedTensor(device, DType::f32, {B, H, D, D});
            device.zero(state_.data, static_cast<size_t>(state_.bytes()));
            forward_.state_in = state_;
            forward_.state_out = state_;
        }
        device.synchronize();
    }
    int64_t state_bytes() const { return state_.bytes(); }
    double forward() {
        const Stopwatch watch;
        kernels_.lightning_forward(device_.stream(), forward_);
        device_.synchronize();
        return watch.seconds();
    }
    double backward() {
        const Stopwatch watch;
        kernels_.lightning_backward(device_.stream(), backward_);
        device_.synchronize();
        return watch.seconds();
    }

  private:
    Device& device_;
    const Kernels& kernels_;
    OwnedTensor q_, k_, v_, dout_, o_, dq_, dk_, dv_, slopes_, workspace_, state_;
    LightningForward forward_;
    LightningBackward backward_;
};

// f(), a first call uncounted, until both enough calls and enough time have passed: the median.
template <class F> double median_seconds(int64_t repeats, F&& f) {
    f();
    std::vector<double> seconds;
    double total = 0;
    for (int64_t i = 0; i < repeats || total < kSeconds; ++i) {
        seconds.push_back(f());
        total += seconds.back();
    }
    return median(seconds);
}

Json run_length(Device& device, const LightningOptions& o, int64_t T) {
    Attention attention(device, o, T);
    const double tf = median_seconds(o.repeats, [&] { return attention.forward(); });
    const double tb = median_seconds(o.repeats, [&] { return attention.backward(); });
    const auto D = static_cast<double>(o.dim);
    const auto rows = static_cast<double>(o.batch * T * o.heads);
    const double f = rows * forward_flops(D, D), b = rows * backward_flops(D, D);
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
    if (device.kind() != DeviceKind::cpu) return {};
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
    Attention attention(device, o, 1);
    const double seconds = median_seconds(o.repeats, [&] { return attention.forward(); });
    Json row;
    row["sequences"] = o.batch;
    row["milliseconds"] = seconds * 1e3;
    row["state_megabytes"] = static_cast<double>(attention.state_bytes()) / 1e6;
    row["read_and_written_gigabytes_per_second"] =
        2 * static_cast<double>(attention.state_bytes()) / seconds / 1e9;
    return row;
}

int run_lightning(const LightningOptions& o) {
    if (o.peers) return run_lightning_peers(o.out);
    const auto device = o.common.make();
    const bool cpu = device->kind() == DeviceKind::cpu;
    BenchReport report;
    report.facts["device"] = device->name();
    report.facts["dtype"] = o.dtype;
    report.facts["batch"] = o.batch;
    report.facts["heads"] = o.heads;
    report.facts["head_dim"] = o.dim;
    if (o.decode) {
        report.rows.push_back(run_decode(*device, o));
        if (cpu)
            report.facts["memory_read_gigabytes_per_second"] = memory_read_bandwidth(*device) / 1e9;
        print_report(report, o.common.format);
        return kOk;
    }
    Peak peak = peak_for(*device, dtype_from_name(o.dtype));
    for (const int64_t T : o.lengths) report.rows.push_back(run_length(*device, o, T));
    report.facts["operations_counted_for_blocks_of"] = kBlock;
    if (cpu) {
        peak.flops = std::max(peak.flops, peak_for(*device, dtype_from_name(o.dtype)).flops);
        for (Json& row : report.rows) add_fractions(row, peak.flops);
        report.facts["peak_of"] = peak.name + " products";
        report.facts["peak_gigaflops_per_second"] = peak.flops / 1e9;
    }
    print_report(report, o.common.format);
    return kOk;
}

} // namespace

void add_bench_lightning(CLI::App& bench) {
    CLI::App* command = bench.add_subcommand(
        "lightning", "The attention operator, forward and backward: operations per second");
    command->footer("On the CPU also as a share of the peak of such products (fp32, or bf16 where "
                    "bf16 tensors are multiplied so), measured before and after.");
    const auto o = std::make_shared<LightningOptions>();
    o->common.add_to(*command);
    command->add_option("--dtype", o->dtype, "f32 or bf16");
    command->add_option("--batch", o->batch, "Sequences")->check(CLI::PositiveNumber);
    command->add_option("--heads", o->heads, "Heads")->check(CLI::PositiveNumber);
    command->add_option("--dim", o->dim, "Width of a head, keys and values")
        ->check(CLI::PositiveNumber);
    command
        ->add_option("--lengths", o->lengths,
                     "Tokens of a sequence, e.g. 512,8192; 4 KiB of memory each for every head "
                     "of 128 in f32")
        ->delimiter(',')
        ->check(CLI::PositiveNumber);
    command->add_flag("--decode", o->decode,
                      "One token for each of --batch sequences instead: bytes of the state per "
                      "second");
    command->add_option("--repeats", o->repeats, "Calls timed at least; the median counts")
        ->check(CLI::PositiveNumber);
    command->add_flag("--peers", o->peers,
                      "What else is installed in Python, beside this package, on a GPU: table, CSV "
                      "and plot; TRANSNORMER_PYTHON names the Python, else python3");
    command->add_option("--out", o->out, "Folder of what --peers writes")->needs("--peers");
    on_run(command, [o] { return run_lightning(*o); });
}

} // namespace tnl
