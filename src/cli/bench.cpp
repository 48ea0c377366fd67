// transnormer bench: what this machine does, against what it could do.
#include "base/rng.h"
#include "cli/bench_common.h"
#include "cli/commands.h"
#include "cli/machine.h"

#include <algorithm>

namespace tnl {
namespace {

// Numbers of a run's dtype from f32.
std::vector<char> converted(const std::vector<float>& values, DType dtype) {
    std::vector<char> out(values.size() * static_cast<size_t>(size_of(dtype)));
    dispatch_float(dtype, [&]<class T>() {
        auto* to = reinterpret_cast<T*>(out.data());
        for (size_t i = 0; i < values.size(); ++i) to[i] = static_cast<T>(values[i]);
    });
    return out;
}

} // namespace

void BenchOptions::add_to(CLI::App& command) {
    command.add_option("--device", device, "cpu, cuda, cuda:N or auto");
    command.add_option("--threads", threads, "CPU threads; 0: one per core")
        ->check(CLI::NonNegativeNumber);
    add_choice(command, "--format", format, "How results are printed");
}

// Rows made of normal numbers, some of them again and again.
static void fill_quantized(const Param& p, Device& device, const Tensor& weights,
                           const std::vector<float>& normal) {
    const int64_t K = p.shape[1], row_bytes = quant_row_bytes(p.format, K);
    const int64_t rows = std::min(p.shape[0], std::max<int64_t>(1, std::ssize(normal) / K));
    std::vector<uint8_t> bytes(static_cast<size_t>(rows * row_bytes));
    device.stream().threads->parallel_for(rows, 1, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n)
            quantize_row(p.format, bytes.data() + n * row_bytes, normal.data() + n * K, K);
    });
    char* const to = static_cast<char*>(weights.data) + p.place(weights.dtype);
    for (int64_t at = 0; at < p.bytes(); at += std::ssize(bytes))
        device.upload(to + at, bytes.data(),
                      std::min(bytes.size(), static_cast<size_t>(p.bytes() - at)));
    device.synchronize();
}

void fill_random(const Model& model, Device& device, Tensor weights) {
    const int64_t n = weights.size();
    const bool quantized = model.params().quantized();
    constexpr int64_t kWhole = int64_t{64} << 20, kBlock = int64_t{1} << 20;
    const bool whole = n <= kWhole && !quantized;
    std::vector<float> values(static_cast<size_t>(whole ? n : kBlock));
    if (whole)
        initialize(model.params(), model.config(), 1, values.data());
    else
        for (size_t i = 0; i < values.size(); ++i)
            values[i] = 0.02f * static_cast<float>(Philox{1, 0}.normal(i));
    const std::vector<char> bytes = converted(values, weights.dtype);
    const auto total = static_cast<size_t>(weights.bytes());
    for (size_t at = 0; at < total; at += bytes.size())
        device.upload(static_cast<char*>(weights.data) + at, bytes.data(),
                      std::min(bytes.size(), total - at));
    device.synchronize();
    for (const Param& p : model.params().all())
        if (p.format != QuantFormat::none) fill_quantized(p, device, weights, values);
}

OwnedTensor random_weights(const Model& model, Device& device, DType dtype) {
    OwnedTensor weights(device, dtype, {model.params().flat_size()});
    fill_random(model, device, weights);
    return weights;
}

static int32_t random_token(const Model& model, int64_t index) {
    return static_cast<int32_t>(Philox{3, 0}.below(
        static_cast<uint64_t>(index), static_cast<uint64_t>(model.config().vocab_size)));
}

void extend_to(Session& session, int64_t length) {
    const int64_t piece = 64 * session.options().chunk;
    for (int64_t at = session.length(0); at < length; at += piece) {
        std::vector<int32_t> tokens(static_cast<size_t>(std::min(piece, length - at)));
        for (size_t i = 0; i < tokens.size(); ++i)
            tokens[i] = random_token(session.model(), at + static_cast<int64_t>(i));
        const std::vector<std::span<const int32_t>> texts(
            static_cast<size_t>(session.options().slots), tokens);
        session.prefill(0, texts);
    }
}

std::vector<double> decode_steps(Session& session, int64_t steps) {
    std::vector<int32_t> next(static_cast<size_t>(session.options().slots),
                              random_token(session.model(), 0));
    std::vector<double> seconds;
    for (int64_t i = 0; i < steps; ++i) {
        const Stopwatch watch;
        const auto chosen = session.decode_greedily(next);
        TNL_CHECK(std::ranges::min(chosen) >= 0, "step {}: logits that are not finite", i);
        std::ranges::copy(chosen, next.begin());
        seconds.push_back(watch.seconds());
    }
    return seconds;
}

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::ranges::sort(values);
    return values[values.size() / 2];
}

void add_bench_memory(CLI::App& bench) {
    CLI::App* command = bench.add_subcommand(
        "memory", "Memory read bandwidth and peak arithmetic, all threads together");
    const auto options = std::make_shared<BenchOptions>();
    const auto megabytes = std::make_shared<int64_t>(1024);
    options->add_to(*command);
    command->add_option("--size", *megabytes, "Memory that is read, MiB")
        ->check(CLI::Range(1, 1 << 20));
    on_run(command, [options, megabytes] {
        const auto device = make_cpu_device(options->threads);
        BenchReport report;
        report.facts["device"] = device->name();
        report.facts["read_gigabytes_per_second"] =
            memory_read_bandwidth(*device, static_cast<size_t>(*megabytes) << 20) / 1e9;
        ThreadPool& pool = *device->stream().threads;
        report.facts["fp32_gigaflops_per_second"] = fp32_peak(pool) / 1e9;
        if (const double bf16 = bf16_peak(pool); bf16 > 0)
            report.facts["bf16_dot_gigaflops_per_second"] = bf16 / 1e9;
        print_report(report, options->format);
        return kOk;
    });
}

void add_bench_command(CLI::App& app) {
    CLI::App* bench = app.add_subcommand("bench", "Measure speed on this machine");
    bench->require_subcommand(1);
    add_bench_memory(*bench);
    add_bench_decode(*bench);
    add_bench_train(*bench);
    add_bench_lightning(*bench);
    add_bench_length(*bench);
}

} // namespace tnl
