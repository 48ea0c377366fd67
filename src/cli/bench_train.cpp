// transnormer bench train: a whole training step, and which kernels its time goes to.
#include "cli/bench_trainee.h"
#include "model/checkpoint.h"
#include "train/profile.h"
#include "train/trainer.h"

#include <filesystem>

namespace tnl {
namespace {

struct TrainOptions {
    BenchOptions common;
    TraineeOptions trainee;
    std::string save_model;
    int64_t steps = 10, warmup = 2;
    std::string recompute = "none";
    bool fp8 = false, host = false, stochastic = false;
};

double share_of(const std::vector<Json>& rows, std::string_view prefix) {
    double sum = 0;
    for (const Json& row : rows)
        if (row["kernel"].get<std::string>().starts_with(prefix)) sum += row["share"].get<double>();
    return sum;
}

Recomputation recomputation_of(const std::string& name) {
    for (const Recomputation r : {Recomputation::none, Recomputation::glu, Recomputation::block})
        if (name == name_of(r)) return r;
    throw UsageError(fmt::format("--recompute={}: wanted none, glu or block", name));
}

int run_train(TrainOptions o) {
    o.trainee.recompute = recomputation_of(o.recompute);
    if (o.host) o.trainee.optimizer.memory = Place::host;
    if (o.stochastic) o.trainee.optimizer.rounding = Rounding::stochastic;
    if (o.fp8) o.trainee.products = Products::fp8;
    if (o.fp8 && o.trainee.dtype != "bf16") throw UsageError("--fp8 wants --dtype bf16");
    const auto device = o.common.make();
    const DType dtype = dtype_from_name(o.trainee.dtype);
    const size_t before = device->memory_total() - device->memory_free();
    StepProfile profile(*device, dtype, std::max<int64_t>(1, o.steps / 2));
    Trainee trainee(*device, o.trainee);
    if (!o.save_model.empty()) {
        SaveOptions save;
        save.dtype = DType::f32;
        save_model(o.save_model, trainee.model(), trainee.learner().weights(), *device, save);
    }
    const double first_loss = trainee.step();
    for (int64_t i = 1; i < o.warmup; ++i) trainee.step();
    std::vector<double> seconds;
    const Stopwatch whole;
    for (int64_t i = 0; i < o.steps; ++i) {
        const Stopwatch watch;
        trainee.step();
        seconds.push_back(watch.seconds());
    }
    const double total = whole.seconds();
    std::vector<double> forwards;
    trainee.forward();
    for (int64_t i = 0; i < o.steps; ++i) {
        const Stopwatch watch;
        trainee.forward();
        forwards.push_back(watch.seconds());
    }
    const size_t used = device->memory_total() - device->memory_free();
    // Again under the clock of each kernel: on a GPU that adds a wait after each.
    trainee.learner().use(profile.kernels());
    profile.start();
    const Stopwatch timed;
    double last_loss = first_loss;
    for (int64_t i = 0; i < profile.steps(); ++i) last_loss = trainee.step();

    BenchReport report;
    report.rows = profile_rows(profile.shares(timed.seconds()));
    report.facts["program"] = "transnormer";
    report.facts["device"] = device->name();
    report.facts["model"] = o.trainee.preset;
    report.facts["parameters"] = trainee.model().params().parameter_count();
    report.facts["dtype"] = o.trainee.dtype;
    report.facts["products"] = o.fp8 ? "fp8" : o.trainee.dtype;
    report.facts["batch"] = o.trainee.batch;
    report.facts["length"] = o.trainee.length;
    report.facts["recompute"] = o.recompute;
    report.facts["planned_bytes"] = trainee.learner().memory().total;
    report.facts["planned_host_bytes"] = trainee.learner().memory().host_total;
    report.facts["device_bytes_before"] = before; // the driver, CUDA's libraries
    report.facts["device_bytes"] = used;          // of the whole device, with what the driver takes
    report.facts["activation_bytes"] =
        trainee.learner().memory().activations + trainee.learner().memory().scratch;
    report.facts["copy_gigabytes_per_second"] = profile.limits().copy / 1e9;
    report.facts["product_teraflops"] = profile.limits().products / 1e12;
    report.facts["steps"] = o.steps;
    report.facts["first_loss"] = first_loss;
    report.facts["last_loss"] = last_loss;
    report.facts["step_seconds_median"] = median(seconds);
    report.facts["tokens_per_second"] =
        static_cast<double>(o.trainee.batch * o.trainee.length * o.steps) / total;
    report.facts["forward_seconds_median"] = median(forwards);
    const double flops = training_flops_per_token(trainee.model(), o.trainee.length);
    report.facts["model_flops_per_token"] = flops;
    report.facts["model_teraflops_per_second"] =
        flops * report.facts["tokens_per_second"].get<double>() / 1e12;
    report.facts["gemm_share"] = share_of(report.rows, "gemm");
    report.facts["attention_share"] =
        share_of(report.rows, "lightning") + share_of(report.rows, "softmax");
    if (trainee.model().config().is_llama())
        report.facts["attention"] =
            kernels_for(*device).softmax_plan(dtype_from_name(o.trainee.dtype));
    print_report(report, o.common.format);
    return kOk;
}

} // namespace

void add_bench_train(CLI::App& bench) {
    CLI::App* command = bench.add_subcommand(
        "train", "Tokens per second of a training step (forward, backward, clip, AdamW) and the "
                 "share of each kernel");
    command->footer(
        "model_flops_per_token: 6 for each weight, and the attention's: of the recurrence "
        "12 Dk D a head,\nof a llama preset's softmax attention 12 D a head for each of "
        "the (length + 1) / 2 tokens that one sees.");
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
                     "Rows whose logits exist at once; 0: as train.head_chunk")
        ->check(CLI::NonNegativeNumber);
    command->add_flag(
        "--recompute{block}", o->recompute,
        "Run each block's forward again in the backward; =glu: only the first product "
        "of its SGLU");
    command->add_flag("--fp8", o->fp8, "Multiply the layers' matrices in 8 bits");
    command->add_flag("--host-optimizer", o->host,
                      "Moments and master weights in the host's memory");
    command->add_flag("--stochastic", o->stochastic,
                      "No master weights: bf16 weights, rounded stochastically");
    command->add_option("--save-model", o->save_model,
                        "Write the initial weights as this directory (for the PyTorch peer)");
    on_run(command, [o] { return run_train(*o); });
}

} // namespace tnl
