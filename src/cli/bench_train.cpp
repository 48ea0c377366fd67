// transnormer bench train: a whole training step, and which kernels its time goes to.
#include "cli/bench_trainee.h"
#include "model/checkpoint.h"
#include "ops/timed.h"

#include <filesystem>

namespace tnl {
namespace {

struct TrainOptions {
    BenchOptions common;
    TraineeOptions trainee;
    std::string save_model;
    int64_t steps = 10, warmup = 2;
    bool recompute = false, fp8 = false;
};

// The kernels' shares of `seconds`, longest first, and what is left over.
std::vector<Json> shares(double seconds) {
    std::vector<Json> rows;
    double left = seconds;
    auto add = [&](const std::string& name, double time, int64_t calls, double gigaflops,
                   double gigabytes) {
        Json row;
        row["kernel"] = name;
        row["seconds"] = time;
        row["share"] = time / seconds;
        row["calls"] = calls;
        row["gigaflops_per_second"] = gigaflops;
        row["gigabytes_per_second"] = gigabytes;
        rows.push_back(row);
    };
    for (const KernelTime& t : kernel_times()) {
        add(t.name, t.seconds, t.calls, t.flops / t.seconds / 1e9, t.bytes / t.seconds / 1e9);
        left -= t.seconds;
    }
    add("(outside kernels)", left, 0, 0, 0);
    return rows;
}

double share_of(const std::vector<Json>& rows, std::string_view prefix) {
    double sum = 0;
    for (const Json& row : rows)
        if (row["kernel"].get<std::string>().starts_with(prefix)) sum += row["share"].get<double>();
    return sum;
}

int run_train(TrainOptions o) {
    if (o.recompute) o.trainee.recompute = Recompute::block;
    if (o.fp8) o.trainee.products = Products::fp8;
    if (o.fp8 && o.trainee.dtype != "bf16") throw UsageError("--fp8 wants --dtype bf16");
    const auto device = o.common.make();
    Trainee trainee(*device, o.trainee);
    if (!o.save_model.empty()) {
        SaveOptions save;
        save.dtype = DType::f32;
        save_model(o.save_model, trainee.model(), trainee.weights(), *device, save);
    }
    const double first_loss = trainee.step(false);
    for (int64_t i = 1; i < o.warmup; ++i) trainee.step(false);
    std::vector<double> seconds;
    const Stopwatch whole;
    for (int64_t i = 0; i < o.steps; ++i) {
        const Stopwatch watch;
        trainee.step(false);
        seconds.push_back(watch.seconds());
    }
    const double total = whole.seconds();
    // Again under the clock of each kernel: on a GPU that adds a wait after each.
    reset_kernel_times();
    const Stopwatch timed;
    const int64_t timed_steps = std::max<int64_t>(1, o.steps / 2);
    double last_loss = first_loss;
    for (int64_t i = 0; i < timed_steps; ++i) last_loss = trainee.step(true);

    BenchReport report;
    report.rows = shares(timed.seconds());
    report.facts["program"] = "transnormer";
    report.facts["device"] = device->name();
    report.facts["model"] = o.trainee.preset;
    report.facts["parameters"] = trainee.model().params().parameter_count();
    report.facts["dtype"] = o.trainee.dtype;
    report.facts["products"] = o.fp8 ? "fp8" : o.trainee.dtype;
    report.facts["batch"] = o.trainee.batch;
    report.facts["length"] = o.trainee.length;
    report.facts["recompute"] = o.recompute;
    report.facts["activation_bytes"] = trainee.activation_bytes();
    report.facts["steps"] = o.steps;
    report.facts["first_loss"] = first_loss;
    report.facts["last_loss"] = last_loss;
    report.facts["step_seconds_median"] = median(seconds);
    report.facts["tokens_per_second"] =
        static_cast<double>(o.trainee.batch * o.trainee.length * o.steps) / total;
    report.facts["gemm_share"] = share_of(report.rows, "gemm");
    report.facts["attention_share"] = share_of(report.rows, "lightning");
    print_report(report, o.common.format);
    return kOk;
}

} // namespace

void add_bench_train(CLI::App& bench) {
    CLI::App* command = bench.add_subcommand(
        "train", "Tokens per second of a training step (forward, backward, clip, AdamW) and the "
                 "share of each kernel");
    const auto o = std::make_shared<TrainOptions>();
    o->common.add_to(*command);
    command->add_option("--preset", o->trainee.preset,
                        "Model size (transnormer inspect --help lists them)");
    command->add_option("--dtype", o->trainee.dtype, "f32, or bf16 with f32 master weights");
    command->add_option("--batch", o->trainee.batch, "Sequences of a step")
        ->check(CLI::PositiveNumber);
    command->add_option("--length", o->trainee.length, "Tokens of a sequence")
        ->check(CLI::PositiveNumber);
    command->add_option("--steps", o->steps, "Steps timed")->check(CLI::PositiveNumber);
    command->add_option("--warmup", o->warmup, "Steps before them")->check(CLI::PositiveNumber);
    command
        ->add_option("--head-chunk", o->trainee.head_chunk,
                     "Rows whose logits exist at once; 0: 1024, on a GPU 4096")
        ->check(CLI::NonNegativeNumber);
    command->add_flag("--recompute", o->recompute,
                      "Run each block's forward again in the backward");
    command->add_flag("--fp8", o->fp8, "Multiply the layers' matrices in 8 bits");
    command->add_option("--save-model", o->save_model,
                        "Write the initial weights as this directory (for the PyTorch peer)");
    on_run(command, [o] { return run_train(*o); });
}

} // namespace tnl
