// transnormer bench train: a whole training step, and which kernels its time goes to.
#include "cli/bench_common.h"
#include "model/checkpoint.h"
#include "ops/timed.h"

#include <cmath>
#include <filesystem>

namespace tnl {
namespace {

struct TrainOptions {
    BenchOptions common;
    std::string preset = "25M", dtype = "f32", save_model;
    int64_t batch = 8, length = 512, steps = 10, warmup = 2, head_chunk = 1024;
    bool recompute = false;
};

// A model with all that a step of AdamW needs. Master weights are kept apart from the working copy
// where that is narrower than f32.
class Trainee {
  public:
    Trainee(Device& device, const TrainOptions& o)
        : device_(device), o_(o), dtype_(dtype_from_name(o.dtype)),
          timed_(timed_kernels(kernels_for(device), &device)), model_(model_preset(o.preset)),
          n_(model_.params().flat_size()), weights_(random_weights(model_, device, dtype_)),
          gradients_(device, DType::f32, {n_}), m_(device, DType::f32, {n_}),
          v_(device, DType::f32, {n_}), norm_(device, DType::f64, {1}),
          loss_(device, DType::f32, {o.batch * o.length}),
          slopes_(upload_slopes(model_.config(), device, DType::f32)),
          sizes_(measure_training(model_, timed_, dtype_, o.batch * o.length, o.batch, recompute(),
                                  o.head_chunk)),
          activations_("activations", device, sizes_.activations.peak()),
          scratch_("scratch", device, sizes_.scratch.peak()) {
        master_ = weights_;
        if (dtype_ != DType::f32) {
            wide_ = random_weights(model_, device, DType::f32);
            master_ = wide_;
        }
        for (const Tensor& t : {Tensor(m_), Tensor(v_)})
            device.zero(t.data, static_cast<size_t>(t.bytes()));
        make_batch();
    }

    // One step, as the trainer does it; returns the mean loss before it.
    double step(bool timed) {
        const Kernels& kernels = timed ? timed_ : kernels_for(device_);
        Run run{device_.stream(), kernels, scratch_, dtype_, slopes_};
        const auto rows = static_cast<float>(o_.batch * o_.length);
        device_.zero(gradients_.data, static_cast<size_t>(gradients_.bytes()));
        model_.loss_and_gradients(run, weights_, gradients_, loss_, batch_, recompute(),
                                  o_.head_chunk, 1 / rows, activations_);
        kernels.sum_squares(run.stream, norm_, gradients_);
        double squares = 0;
        device_.download(&squares, norm_.data, sizeof(squares));
        AdamW adam;
        adam.lr = 1e-4f;
        adam.weight_decay = 0.1f;
        adam.gradient_scale = static_cast<float>(std::min(1.0, 1 / (std::sqrt(squares) + 1e-6)));
        adam.step = ++count_;
        kernels.adamw(run.stream, weights_, master_, m_, v_, gradients_, adam);
        kernels.sum(run.stream, norm_, loss_);
        device_.download(&squares, norm_.data, sizeof(squares));
        return squares / rows;
    }

    const Model& model() const { return model_; }
    Tensor weights() const { return weights_; }
    size_t activation_bytes() const { return sizes_.activations.peak() + sizes_.scratch.peak(); }

  private:
    Recompute recompute() const { return o_.recompute ? Recompute::block : Recompute::none; }

    // Token i of the stream is (i * 7919 + 13) % V, as in the PyTorch peer (bench/).
    void make_batch() {
        const int64_t N = o_.batch * o_.length;
        std::vector<int32_t> ids, positions, targets;
        auto token = [&](int64_t i) {
            return static_cast<int32_t>((i * 7919 + 13) % model_.config().vocab_size);
        };
        for (int64_t i = 0; i < N; ++i) {
            ids.push_back(token(i));
            targets.push_back(token(i + 1));
            positions.push_back(static_cast<int32_t>(i % o_.length));
        }
        const auto put = [&](OwnedTensor& to, const std::vector<int32_t>& from) {
            to = OwnedTensor(device_, DType::i32, {N});
            device_.upload(to.data, from.data(), from.size() * sizeof(int32_t));
            return Tensor(to);
        };
        batch_.ids = put(ids_, ids);
        batch_.positions = put(positions_, positions);
        batch_.targets = put(targets_, targets);
        batch_.sequences = o_.batch;
        device_.synchronize();
    }

    Device& device_;
    const TrainOptions& o_;
    DType dtype_;
    Kernels timed_;
    Model model_;
    int64_t n_;
    OwnedTensor weights_, wide_, gradients_, m_, v_, norm_, loss_, slopes_, ids_, positions_,
        targets_;
    Tensor master_;
    ArenaSizes sizes_;
    Arena activations_, scratch_;
    Batch batch_;
    int64_t count_ = 0;
};

// The kernels' shares of `seconds`, longest first, and what is left over.
std::vector<Json> shares(double seconds) {
    std::vector<Json> rows;
    double left = seconds;
    auto add = [&](const std::string& name, double time, int64_t calls, double gigaflops) {
        Json row;
        row["kernel"] = name;
        row["seconds"] = time;
        row["share"] = time / seconds;
        row["calls"] = calls;
        row["gigaflops_per_second"] = gigaflops;
        rows.push_back(row);
    };
    for (const KernelTime& t : kernel_times()) {
        add(t.name, t.seconds, t.calls, t.flops / t.seconds / 1e9);
        left -= t.seconds;
    }
    add("(outside kernels)", left, 0, 0);
    return rows;
}

double share_of(const std::vector<Json>& rows, std::string_view prefix) {
    double sum = 0;
    for (const Json& row : rows)
        if (row["kernel"].get<std::string>().starts_with(prefix)) sum += row["share"].get<double>();
    return sum;
}

int run_train(const TrainOptions& o) {
    const auto device = o.common.make();
    Trainee trainee(*device, o);
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
    for (int64_t i = 0; i < timed_steps; ++i) trainee.step(true);

    BenchReport report;
    report.rows = shares(timed.seconds());
    report.facts["program"] = "transnormer";
    report.facts["device"] = device->name();
    report.facts["model"] = o.preset;
    report.facts["parameters"] = trainee.model().params().parameter_count();
    report.facts["dtype"] = o.dtype;
    report.facts["batch"] = o.batch;
    report.facts["length"] = o.length;
    report.facts["recompute"] = o.recompute;
    report.facts["activation_bytes"] = trainee.activation_bytes();
    report.facts["steps"] = o.steps;
    report.facts["first_loss"] = first_loss;
    report.facts["step_seconds_median"] = median(seconds);
    report.facts["tokens_per_second"] = static_cast<double>(o.batch * o.length * o.steps) / total;
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
    command->add_option("--preset", o->preset,
                        "Model size (transnormer inspect --help lists them)");
    command->add_option("--dtype", o->dtype, "f32, or bf16 with f32 master weights");
    command->add_option("--batch", o->batch, "Sequences of a step")->check(CLI::PositiveNumber);
    command->add_option("--length", o->length, "Tokens of a sequence")->check(CLI::PositiveNumber);
    command->add_option("--steps", o->steps, "Steps timed")->check(CLI::PositiveNumber);
    command->add_option("--warmup", o->warmup, "Steps before them")->check(CLI::PositiveNumber);
    command->add_option("--head-chunk", o->head_chunk, "Rows whose logits exist at once")
        ->check(CLI::PositiveNumber);
    command->add_flag("--recompute", o->recompute,
                      "Run each block's forward again in the backward");
    command->add_option("--save-model", o->save_model,
                        "Write the initial weights as this directory (for the PyTorch peer)");
    on_run(command, [o] { return run_train(*o); });
}

} // namespace tnl
