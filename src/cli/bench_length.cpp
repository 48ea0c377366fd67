// transnormer bench length: does speed depend on length? Training, reading and writing at each.
#include "cli/bench_trainee.h"

#include "train/plot.h"
#include "train/trainer.h"

#include <map>
#include <optional>

namespace tnl {
namespace {

struct LengthOptions {
    BenchOptions common;
    std::string preset = "2M", dtype = "f32", plot;
    std::vector<int64_t> lengths{256, 1024, 4096, 16384, 65536};
    int64_t step_tokens = 8192, longest_step = 65536, decode_tokens = 512, rounds = 3;
    bool keep = false;
};

// A measurement goes on for this long at least.
constexpr double kSeconds = 1;

// Steps of about o.step_tokens in sequences of T; those beyond o.longest_step in pieces of that
// length, one a step, the state passed on: not so a llama model's, which has none. Unless told
// otherwise the blocks' forwards run again in the backward, so that the longest fit into memory.
double train_speed(Device& device, const LengthOptions& o, int64_t T) {
    TraineeOptions options;
    options.preset = o.preset;
    options.dtype = o.dtype;
    const bool pieces = T > o.longest_step && !model_preset(o.preset).is_llama();
    options.length = pieces ? o.longest_step : T;
    options.batch = std::max<int64_t>(1, o.step_tokens / options.length);
    options.carry = pieces;
    options.recompute = o.keep ? Recomputation::none : Recomputation::block;
    Trainee trainee(device, options);
    trainee.step(); // warm-up
    std::vector<double> seconds;
    for (const Stopwatch whole; seconds.empty() || whole.seconds() < kSeconds;) {
        const Stopwatch watch;
        trainee.step();
        seconds.push_back(watch.seconds());
    }
    return static_cast<double>(options.batch * options.length) / median(seconds);
}

// A prompt of T tokens, from an empty state.
double prefill_speed(Session& session, int64_t T) {
    std::vector<double> seconds;
    for (const Stopwatch whole; seconds.empty() || whole.seconds() < kSeconds;) {
        session.reset(0, 1);
        const Stopwatch watch;
        extend_to(session, T);
        seconds.push_back(watch.seconds());
    }
    return static_cast<double>(T) / median(seconds);
}

// Tokens per second of each round.
struct Speeds {
    std::vector<double> train, prefill, decode;
};

// session: null of a llama model, which is trained alone.
void measure(Device& device, const LengthOptions& o, Session* session, int64_t T, Speeds& speeds) {
    speeds.train.push_back(train_speed(device, o, T));
    if (!session) return;
    speeds.prefill.push_back(prefill_speed(*session, T));
    speeds.decode.push_back(1 / median(decode_steps(*session, o.decode_tokens)));
}

void draw(const LengthOptions& o, const BenchReport& report) {
    std::vector<Curve> curves;
    for (const auto& [key, name] : {std::pair("train_tokens_per_second", "training"),
                                    std::pair("prefill_tokens_per_second", "reading a prompt"),
                                    std::pair("decode_tokens_per_second", "writing")}) {
        if (!report.rows.front().contains(key)) continue;
        Curve curve{name, {}, {}};
        for (const Json& row : report.rows) {
            curve.held_out.x.push_back(row["length"].get<double>()); // a dot
            curve.held_out.y.push_back(row[key].get<double>());
        }
        curves.push_back(curve);
    }
    PlotOptions plot;
    plot.log_x = plot.log_y = true;
    plot.title = fmt::format("{} parameters, {}, {}", report.facts["model"].get<std::string>(),
                             o.dtype, report.facts["device"].get<std::string>());
    plot.x_label = "length (tokens)";
    plot.y_label = "tokens per second";
    write_plot(o.plot, curves, plot);
}

int run_length(LengthOptions o) {
    const auto device = o.common.make();
    const DType dtype = dtype_from_name(o.dtype);
    const Model model(model_preset(o.preset));
    const OwnedTensor weights = random_weights(model, *device, dtype);
    std::optional<Session> session;
    if (!model.config().is_llama()) {
        session.emplace(model, *device, weights, Session::Options{dtype, 1, 1024});
        decode_steps(*session, o.decode_tokens); // warm-up
    }
    BenchReport report;
    report.facts["device"] = device->name();
    report.facts["model"] = o.preset;
    report.facts["parameters"] = model.params().parameter_count();
    report.facts["dtype"] = o.dtype;
    report.facts["state_bytes_per_sequence"] = model.config().state_bytes();
    if (!session) report.facts["attention"] = kernels_for(*device).softmax_plan(dtype);
    // The lengths take turns: what a shared machine gives changes from second to second.
    std::map<int64_t, Speeds> speeds;
    for (int64_t round = 0; round < o.rounds; ++round)
        for (const int64_t T : o.lengths) {
            measure(*device, o, session ? &*session : nullptr, T, speeds[T]);
            fmt::print(stderr, "round {} of {}, length {}: done\n", round + 1, o.rounds, T);
        }
    for (const auto& [T, s] : speeds) {
        Json row;
        row["length"] = T;
        row["train_tokens_per_second"] = median(s.train);
        row["train_model_teraflops_per_second"] =
            median(s.train) * training_flops_per_token(model, T) / 1e12;
        if (session) {
            row["prefill_tokens_per_second"] = median(s.prefill);
            row["decode_tokens_per_second"] = median(s.decode);
            row["session_bytes"] = session->memory().total();
        }
        report.rows.push_back(row);
    }
    if (!o.plot.empty()) draw(o, report);
    print_report(report, o.common.format);
    return kOk;
}

} // namespace

void add_bench_length(CLI::App& bench) {
    CLI::App* command = bench.add_subcommand(
        "length", "Tokens per second against length: training steps, reading a prompt, writing "
                  "after it. Random weights");
    command->footer("A llama preset is trained alone, on whole sequences. Model FLOPs as in bench "
                    "train: they count its\nattention's quadratic part.");
    const auto o = std::make_shared<LengthOptions>();
    o->common.add_to(*command);
    command->add_option("--preset", o->preset,
                        "Model size (transnormer inspect --help lists them)");
    command->add_option("--dtype", o->dtype, "f32 or bf16");
    command->add_option("--lengths", o->lengths, "Tokens of a sequence, e.g. 1024,1048576")
        ->delimiter(',')
        ->check(CLI::PositiveNumber);
    command->add_option("--step-tokens", o->step_tokens, "Tokens of a training step, at least")
        ->check(CLI::PositiveNumber);
    command
        ->add_option("--longest-step", o->longest_step,
                     "Longest sequence trained on at once: its activations have to fit into "
                     "memory. Longer ones are trained on in pieces, the state passed on")
        ->check(CLI::PositiveNumber);
    command->add_flag("--no-recompute", o->keep, "Keep all activations of a training step");
    command->add_option("--decode-tokens", o->decode_tokens, "Tokens written at each length")
        ->check(CLI::PositiveNumber);
    command->add_option("--rounds", o->rounds, "Measurements of every length; the median counts")
        ->check(CLI::PositiveNumber);
    command->add_option("--plot", o->plot, "Also draw this picture, .png or .svg");
    on_run(command, [o] { return run_length(*o); });
}

} // namespace tnl
