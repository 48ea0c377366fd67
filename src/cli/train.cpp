// transnormer train: begins a run, or goes on with one.
#include "cli/cli.h"
#include "cli/commands.h"

#include "base/file.h"
#include "base/json.h"
#include "train/setup.h"
#include "train/trainer.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace tnl {
namespace {

namespace fs = std::filesystem;

struct TrainOptions {
    std::vector<std::string> files, overrides;
    std::string run;
    std::optional<int64_t> from;
    bool resume = false, json = false, dry = false;
    int64_t profile = 0; // steps
};

// For tokens of a run that is only planned.
class ScratchDirectory {
  public:
    ScratchDirectory() {
        std::string name = (fs::temp_directory_path() / "transnormer-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr)
            fail("{}: cannot be made: {}", name, std::strerror(errno));
        path_ = name;
    }
    ~ScratchDirectory() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    ScratchDirectory(const ScratchDirectory&) = delete;
    ScratchDirectory& operator=(const ScratchDirectory&) = delete;
    const fs::path& path() const { return path_; }

  private:
    fs::path path_;
};

struct Start {
    TrainConfig config;
    std::vector<std::string> given;
    std::optional<int64_t> from; // the checkpoint to go on from; absent: a new run
    std::shared_ptr<ScratchDirectory> scratch = nullptr;
};

Start begin(const TrainOptions& o) {
    const TrainConfigSources sources{{o.files.begin(), o.files.end()}, o.overrides};
    Start start;
    std::string run = o.run;
    for (const std::string& text : o.overrides)
        if (text.starts_with("run=") && run.empty()) run = text.substr(4);
    if (run.empty() && !o.files.empty()) run = read_train_config(sources).run;
    if (run.empty()) throw UsageError("no directory for the run: wanted --run DIR");
    const std::vector<int64_t> steps = checkpoint_steps(run);
    if (steps.empty()) {
        if (o.resume || o.from) fail("{}: has no checkpoint to go on from", run);
        start.config = read_train_config(sources, &start.given);
    } else {
        start.from = o.from.value_or(steps.back());
        if (std::find(steps.begin(), steps.end(), *start.from) == steps.end())
            throw UsageError(fmt::format("--from {}: {} has checkpoints of the steps {}",
                                         *start.from, run, fmt::join(steps, ", ")));
        start.config = read_run_config(run, sources);
    }
    start.config.run = run;
    if (!start.config.init.empty())
        start.config.init = fs::absolute(start.config.init).lexically_normal().string();
    if (o.dry) start.scratch = std::make_shared<ScratchDirectory>();
    tokenize_text_data(start.config, o.dry ? start.scratch->path() : fs::path(run) / "data",
                       o.json ? stderr : stdout);
    find_data(start.config.data);
    return start;
}

std::string short_count(int64_t n) { return format_count(static_cast<double>(n)); }

void print_plan(std::FILE* out, const TrainConfig& c, const Model& model, const RunData& data,
                Device& device, bool with_table) {
    const ModelConfig& m = model.config();
    const int64_t tokens = c.train.steps * c.step_tokens();
    const MemoryPlan memory = plan_memory(c, model, device);
    fmt::print(out, "model   {} parameters: {} layers, width {}, {} heads, vocabulary {}\n",
               short_count(model.params().parameter_count()), m.decoder_layers, m.decoder_embed_dim,
               m.decoder_attention_heads, m.vocab_size);
    if (model.params().has_adapters())
        fmt::print(out, "lora    {} parameters of rank {} are trained, the others frozen: {}\n",
                   short_count(model.params().trained_count()), c.train.lora.rank, c.init);
    fmt::print(out, "data    {}: {} tokens of {:.2f} bytes", c.data.train,
               short_count(data.train.tokens()), data.train_source.bytes_per_token());
    if (data.train.learned_tokens() < data.train.tokens())
        fmt::print(out, ", {} of them to be learned", short_count(data.train.learned_tokens()));
    if (data.validation)
        fmt::print(out, "; held out: {} tokens", short_count(data.validation->tokens()));
    fmt::print(
        out, "\nsteps   {} of {} tokens ({} x {}{}): {} tokens, {:.2g} passes over the data\n",
        c.train.steps, c.step_tokens(), c.train.rows, c.train.length,
        c.train.accumulate > 1 ? fmt::format(" x {}", c.train.accumulate) : "", short_count(tokens),
        static_cast<double>(tokens) / static_cast<double>(data.train.tokens()));
    fmt::print(out, "device  {}, {}, {:.2f} GiB\n", device.name(), c.train.dtype,
               static_cast<double>(memory.total) / 0x1p30);
    fmt::print(out, "run     {}\n", c.run);
    if (with_table) fmt::print(out, "memory\n{}", memory.table);
    std::fflush(out);
}

Json result_json(const Trainer& trainer, const TrainConfig& c, Trainer::Outcome outcome,
                 const fs::path& checkpoint) {
    const TrainerState& s = trainer.state();
    Json out;
    out["outcome"] = outcome == Trainer::Outcome::finished ? "finished" : "interrupted";
    out["run"] = c.run;
    out["checkpoint"] = checkpoint.string();
    out["step"] = s.step;
    out["steps"] = c.train.steps;
    out["tokens"] = s.tokens;
    out["seconds"] = s.seconds;
    out["tokens_per_second"] = s.seconds > 0 ? static_cast<double>(s.tokens) / s.seconds : 0;
    out["loss"] = trainer.last_loss() ? Json(*trainer.last_loss()) : Json(nullptr);
    out["held_out"] = nullptr;
    if (const auto& held_out = trainer.last_eval()) {
        out["held_out"] = Json::object();
        out["held_out"]["loss_nats_per_token"] = held_out->loss;
        out["held_out"]["perplexity"] = held_out->perplexity();
        if (held_out->bits_per_byte > 0) out["held_out"]["bits_per_byte"] = held_out->bits_per_byte;
    }
    if (s.best_step >= 0) {
        out["best_step"] = s.best_step;
        out["best_loss"] = *s.best_loss;
    }
    out["parameters"] = trainer.learner().model().params().parameter_count();
    out["trained_parameters"] = trainer.learner().model().params().trained_count();
    return out;
}

void print_end(const TrainConfig& c, const Trainer& trainer, Trainer::Outcome outcome,
               const fs::path& checkpoint) {
    const TrainerState& s = trainer.state();
    const bool finished = outcome == Trainer::Outcome::finished;
    fmt::print("{} {} of {} steps, {} tokens in {}; checkpoint {}\n",
               finished ? "Finished:" : "Stopped after", s.step, c.train.steps,
               short_count(s.tokens), format_duration(s.seconds), checkpoint.string());
    if (!finished)
        fmt::print("To go on:  transnormer train --run {}\n", c.run);
    else if (c.train.lora.rank > 0)
        fmt::print("To try it: transnormer generate --model {} --adapter {} --prompt \"...\"\n",
                   c.init, checkpoint.string());
    else if (!c.data.tokenizer.empty())
        fmt::print("To try it: transnormer generate --model {} --prompt \"...\"\n",
                   checkpoint.string());
}

int run_train(const TrainOptions& o) {
    Start start = begin(o);
    TrainConfig& config = start.config;
    std::FILE* out = o.json ? stderr : stdout;
    RunData data(config);
    if (!start.from) fit_model(config, data.train, start.given);
    const auto device = make_device(config.train.device, config.train.threads);
    const Model model(config.model, config.train.lora);
    if (config.train.minutes > 0) {
        fmt::print(out, "Measuring the speed of a step ...\n");
        std::fflush(out);
        config.resolve_steps(measure_step_seconds(config, model, *device, data.train_source));
    } else {
        config.resolve_steps(0);
    }
    print_plan(out, config, model, data, *device, o.dry);
    if (o.dry) return kOk;

    std::optional<StepProfile> profile;
    if (o.profile > 0) {
        const int64_t left = config.train.steps - start.from.value_or(0);
        const int64_t wanted = StepProfile::kWarmUp + StepProfile::kPlain + o.profile;
        if (left < wanted)
            throw UsageError(fmt::format("--profile {}: the run has {} steps left, wanted {}: {} "
                                         "before those that are profiled",
                                         o.profile, left, wanted, wanted - o.profile));
        profile.emplace(*device, config.dtype(), o.profile);
    }
    TrainerParts parts{config, model, *device, data.train_source, nullptr, std::nullopt, {}, out};
    if (data.validation_source) parts.validation = &*data.validation_source;
    if (!config.data.tokenizer.empty()) parts.tokenizer = config.data.tokenizer;
    if (profile) parts.profile = &*profile;
    const bool adapters = model.params().has_adapters();
    if (adapters) parts.base = {config.init, weights_checksum(config.init)};
    Trainer trainer(parts);
    if (start.from) {
        trainer.resume(*start.from, adapters ? first_weights(config, model).data() : nullptr);
        const bool over = *start.from >= config.train.steps;
        fmt::print(out, "{} {}\n", over ? "The run is over already:" : "Going on from",
                   trainer.checkpoints().path_of(*start.from).string());
    } else {
        trainer.start(first_weights(config, model).data());
    }
    write_file_atomic(fs::path(config.run) / "run.json", config.json() + "\n");
    const Trainer::Outcome outcome = trainer.run();
    const fs::path checkpoint = trainer.checkpoints().path_of(trainer.state().step);
    if (o.json)
        fmt::print("{}\n", result_json(trainer, config, outcome, checkpoint).dump());
    else
        print_end(config, trainer, outcome, checkpoint);
    return kOk;
}

} // namespace

void add_train_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand("train", "Train a model, or go on with a run");
    const auto o = std::make_shared<TrainOptions>();
    command->add_option("overrides", o->overrides,
                        "Settings key=value, such as preset=2M data.train=data "
                        "train.steps=1000; they win over config files");
    command
        ->add_option("--config", o->files,
                     "Settings from a .json or .toml file; may be repeated, later ones win")
        ->allow_extra_args(false);
    command->add_option("--run", o->run,
                        "Directory of the run: run.json, metrics.jsonl, tensorboard/, "
                        "checkpoints/. Where it has checkpoints, the run goes on from the latest");
    command->add_flag("--resume", o->resume, "Fail where there is no checkpoint to go on from");
    command->add_option("--from", o->from,
                        "Go back to the checkpoint of this step; later ones are removed");
    command->add_flag("--dry-run", o->dry,
                      "Print what would be trained, with its memory, and stop");
    command
        ->add_option("--profile", o->profile,
                     "Time the kernels of so many steps, after the first 8, and print what share "
                     "each has and how near it comes to the device's limit, bytes or operations a "
                     "second, as measured at the start")
        ->check(CLI::PositiveNumber);
    command->add_flag("--json", o->json, "Print the result as one JSON object; progress on stderr");
    command->footer(
        "A run writes a line of metrics.jsonl every log.every steps and checkpoints that "
        "\"generate "
        "--model\" and\nHugging Face tools read. Ctrl-C and SIGTERM finish the step, save, and "
        "exit "
        "with 0 (outcome \"interrupted\"\nwith --json); the same command then goes on, bit for bit "
        "as if never stopped. A loss that is NaN or a\nspike ends the run with 1, naming the last "
        "good checkpoint (guard.*).\n\nSettings, with their defaults:\n" +
        train_config_help());
    on_run(command, [o] { return run_train(*o); });
}

} // namespace tnl
