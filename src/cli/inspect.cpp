// transnormer inspect: what a model, a run, or a file is, and the memory that it needs.
#include "cli/inspect.h"

#include "cli/cli.h"
#include "cli/commands.h"
#include "model/checkpoint.h"
#include "text/tokenizer.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

namespace tnl {
namespace {

namespace fs = std::filesystem;

bool has_shards(const fs::path& directory) {
    for (const auto& entry : fs::directory_iterator(directory))
        if (entry.path().extension() == ".tnl") return true;
    return false;
}

bool is_json(const fs::path& path) {
    return fs::is_regular_file(path) && path.extension() == ".json";
}

void inspect_directory(Inspection& out, const fs::path& path, InspectOptions& o) {
    if (fs::exists(path / "config.json")) {
        const ModelConfig config = load_model_config(path);
        if (fs::exists(path / "trainer.json")) inspect_checkpoint(out, path, o);
        inspect_weights(out, path, config);
        if (const fs::path found = find_tokenizer(path); !found.empty())
            inspect_tokenizer(out, found);
        inspect_model(out, config, o);
    } else if (fs::exists(path / "adapter_config.json")) {
        if (fs::exists(path / "trainer.json")) inspect_checkpoint(out, path, o);
        inspect_adapter(out, path);
    } else if (fs::exists(path / "run.json")) {
        ModelConfig config;
        inspect_run(out, path, o, config);
        inspect_model(out, config, o);
    } else if (has_shards(path)) {
        inspect_shards(out, path);
    } else if (fs::is_directory(path / "train") && has_shards(path / "train")) {
        inspect_shards(out, path / "train");
        if (fs::is_directory(path / "val")) inspect_shards(out, path / "val");
    } else {
        fail("{}: holds neither config.json (a model), run.json (a run) nor shard-*.tnl (tokens)",
             path.string());
    }
}

// A name without a file behind it is a preset.
Inspection inspect(InspectOptions o) {
    Inspection out;
    const fs::path path(o.what);
    if (o.what.empty()) {
        inspect_presets(out);
    } else if (fs::is_directory(path)) {
        inspect_directory(out, path, o);
    } else if (is_json(path) && path.filename() == "run.json") {
        inspect_directory(out, path.parent_path().empty() ? "." : path.parent_path(), o);
    } else if (is_json(path)) {
        inspect_model(out, read_model_config(path), o);
    } else if (!fs::exists(path)) {
        const std::vector<std::string> presets = model_preset_names();
        if (std::find(presets.begin(), presets.end(), o.what) == presets.end())
            fail("{}: no such file or directory, nor a preset: {}", o.what,
                 fmt::join(presets, ", "));
        inspect_model(out, model_preset(o.what), o);
    } else if (path.extension() == ".tnl") {
        inspect_shards(out, path);
    } else if (path.extension() == ".model") {
        inspect_tokenizer(out, path);
    } else if (path.extension() == ".safetensors") {
        inspect_safetensors(out, path);
    } else {
        fail("{}: not a file that this program writes: wanted .json, .tnl, .model or .safetensors",
             o.what);
    }
    return out;
}

int run_inspect(const InspectOptions& o) {
    const Inspection out = inspect(o);
    fmt::print("{}", o.json ? out.json.dump() + "\n" : out.text);
    return kOk;
}

} // namespace

void add_inspect_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand(
        "inspect", "What a model, run, checkpoint or file is, and the memory that it needs");
    const auto o = std::make_shared<InspectOptions>();
    command->add_option(
        "what", o->what,
        "A preset; a model directory or its config.json; a run or one of its "
        "checkpoints; token shards (.tnl) or their directory; a tokenizer (.model); "
        "a .safetensors file. Without it: the presets");
    command
        ->add_option("--batch", o->rows,
                     "Sequences of a training micro-batch (train.rows); default: the run's, or 8")
        ->check(CLI::PositiveNumber);
    command
        ->add_option("--length", o->length,
                     "Tokens of a training sequence (train.length); default: the run's, or 512")
        ->check(CLI::PositiveNumber);
    command
        ->add_option("--dtype", o->dtype,
                     "Of weights and activations: f32 or bf16; default: the run's, or that of the "
                     "stored weights")
        ->check(CLI::IsMember({"f32", "bf16"}));
    command
        ->add_option("--lora-rank", o->lora.rank,
                     "Memory to train adapters of this rank (train.lora.rank); default: the run's")
        ->check(CLI::PositiveNumber);
    command->add_option("--slots", o->slots, "Sequences held at once in inference")
        ->check(CLI::PositiveNumber);
    command->add_option("--chunk", o->chunk, "Tokens of one prefill call")
        ->check(CLI::PositiveNumber);
    command->add_option("--device", o->device,
                        "cpu, cuda, cuda:N or auto: whose kernels the memory is measured for");
    command->add_flag("--all", o->all, "A line for each parameter, layers not folded");
    command->add_flag("--json", o->json, "Print one JSON object; sizes in bytes");
    Inspection presets;
    inspect_presets(presets);
    command->footer(
        "Memory comes from a dry run of the model's own code: nothing is allocated.\n\n" +
        presets.text);
    on_run(command, [o] { return run_inspect(*o); });
}

} // namespace tnl
