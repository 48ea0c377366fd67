#include "cli/inspect.h"
#include "data/shard.h"
#include "model/checkpoint.h"
#include "model/tensor_files.h"
#include "text/tokenizer.h"
#include "train/checkpoint.h"
#include "train/progress.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace tnl {
namespace {

namespace fs = std::filesystem;

// A field of trainer.json.
template <class T> T field(const Json& json, const fs::path& file, const char* pointer) {
    try {
        return json.at(Json::json_pointer(pointer)).get<T>();
    } catch (const nlohmann::json::exception&) {
        fail("{}: field {} is missing or of the wrong kind", file.string(), pointer);
    }
}

// Of optional losses, null where there was none.
std::optional<double> loss(const Json& json, const char* name) {
    const auto at = json.find(name);
    return at != json.end() && at->is_number() ? std::optional(at->get<double>()) : std::nullopt;
}

// How far training is, from trainer.json: a line of text.
std::string describe_checkpoint(const Json& json, const fs::path& file, Json& out) {
    const auto step = field<int64_t>(json, file, "/step"),
               steps = field<int64_t>(json, file, "/config/train/steps"),
               tokens = field<int64_t>(json, file, "/tokens");
    const auto seconds = field<double>(json, file, "/seconds");
    out["step"] = step;
    out["steps"] = steps;
    out["tokens"] = tokens;
    out["seconds"] = seconds;
    std::string text = fmt::format("step {} of {}, {} tokens in {}", step, steps, count_of(tokens),
                                   format_duration(seconds));
    if (const auto now = loss(json, "eval_loss")) {
        out["held_out_loss"] = *now;
        text += fmt::format("; held-out loss {:.4f} nats/token", *now);
    }
    if (const auto best = loss(json, "best_loss")) {
        out["best_loss"] = *best;
        out["best_step"] = field<int64_t>(json, file, "/best_step");
        text += fmt::format("; the lowest so far {:.4f} at step {}", *best,
                            out["best_step"].get<int64_t>());
    }
    return text;
}

void fill(InspectOptions& o, int64_t rows, int64_t length, const std::string& dtype) {
    if (!o.rows) o.rows = rows;
    if (!o.length) o.length = length;
    if (!o.dtype) o.dtype = dtype;
}

} // namespace

std::string count_of(int64_t n) { return format_count(static_cast<double>(n)); }

void inspect_weights(Inspection& out, const fs::path& directory, const ModelConfig& config) {
    if (!TensorFiles::present(directory)) {
        out.text += fmt::format("weights     none in {}\n", directory.string());
        out.json["weights"] = nullptr;
        return;
    }
    const TensorFiles files(directory);
    check_weights(files, Model(config).params());
    std::map<std::string, int64_t> dtypes;
    uint64_t bytes = 0;
    for (const TensorFiles::Place& place : files.all()) {
        ++dtypes[place.info->dtype];
        bytes += place.info->end - place.info->begin;
    }
    std::vector<std::string> names;
    for (const auto& [name, count] : dtypes) names.push_back(name);
    out.text += fmt::format("weights     {}: {} tensors, {}, {}; they fit config.json\n",
                            files.name(), files.all().size(), fmt::join(names, " and "),
                            format_bytes(static_cast<double>(bytes)));
    out.json["weights"] = {{"file", files.name()},
                           {"tensors", files.all().size()},
                           {"dtypes", names},
                           {"bytes", bytes}};
}

void inspect_checkpoint(Inspection& out, const fs::path& directory, InspectOptions& o) {
    const fs::path file = directory / "trainer.json";
    const Json json = parse_json_file(file);
    Json& found = out.json["checkpoint"];
    out.text += "checkpoint  " + describe_checkpoint(json, file, found) + "\n";
    const auto device = field<std::string>(json, file, "/device");
    found["device"] = device;
    out.text += fmt::format("trained on  {}\n", device);
    fill(o, field<int64_t>(json, file, "/config/train/rows"),
         field<int64_t>(json, file, "/config/train/length"),
         field<std::string>(json, file, "/config/train/dtype"));
}

void inspect_run(Inspection& out, const fs::path& directory, InspectOptions& o,
                 ModelConfig& config) {
    const TrainConfig run = read_run_config(directory, {});
    config = run.model;
    const std::vector<int64_t> steps = checkpoint_steps(directory);
    Json& found = out.json["run"];
    found["directory"] = directory.string();
    found["config"] = Json::parse(run.json());
    found["checkpoints"] = steps;
    out.text +=
        fmt::format("run         {}: {} tokens a step ({} x {}{}), {}, recompute {}\n",
                    directory.string(), run.step_tokens(), run.train.rows, run.train.length,
                    run.train.accumulate > 1 ? fmt::format(" x {}", run.train.accumulate) : "",
                    run.train.dtype, name_of(run.train.recompute));
    if (steps.empty()) {
        out.text += fmt::format("checkpoints none yet, of {} steps\n", run.train.steps);
    } else {
        const fs::path latest = directory / "checkpoints" / fmt::format("step-{:08}", steps.back());
        const fs::path file = latest / "trainer.json";
        found["latest"]["directory"] = latest.string();
        out.text += fmt::format("checkpoints of step{} {}\nlatest      {}\n",
                                steps.size() == 1 ? "" : "s", fmt::join(steps, ", "),
                                describe_checkpoint(parse_json_file(file), file, found["latest"]));
    }
    fill(o, run.train.rows, run.train.length, run.train.dtype);
    if (o.lora.rank == 0) o.lora = run.train.lora;
}

void inspect_adapter(Inspection& out, const fs::path& directory) {
    const Adapter adapter(directory);
    const LoraOptions& lora = adapter.lora();
    out.text += fmt::format("adapter     {}: rank {}, alpha {}, of {}\nof          {}\n",
                            directory.string(), lora.rank, lora.alpha,
                            fmt::join(lora.targets, ", "), adapter.base().path);
    out.json["adapter"] = {{"rank", lora.rank},
                           {"alpha", lora.alpha},
                           {"targets", lora.targets},
                           {"base", adapter.base().path},
                           {"base_checksum", adapter.base().checksum}};
}

void inspect_shards(Inspection& out, const fs::path& path) {
    const ShardSet shards(path);
    const double per_token =
        static_cast<double>(shards.text_bytes()) / static_cast<double>(shards.tokens());
    out.text +=
        fmt::format("tokens      {}: {} ({}) in {} documents, {} of text, {:.2f} bytes a "
                    "token; vocabulary {}, tokenizer {:016x}; checksums hold\n",
                    path.string(), count_of(shards.tokens()), shards.tokens(), shards.documents(),
                    format_bytes(static_cast<double>(shards.text_bytes())), per_token,
                    shards.vocab_size(), shards.tokenizer_hash());
    out.json["shards"].push_back(
        {{"path", path.string()},
         {"tokens", shards.tokens()},
         {"documents", shards.documents()},
         {"text_bytes", shards.text_bytes()},
         {"vocab_size", shards.vocab_size()},
         {"tokenizer_hash", fmt::format("{:016x}", shards.tokenizer_hash())}});
}

void inspect_tokenizer(Inspection& out, const fs::path& path) {
    const Tokenizer t(path);
    const auto id = [](int32_t n) { return n < 0 ? "none" : std::to_string(n); };
    out.text += fmt::format(
        "tokenizer   {}: {}, {} pieces; unk {}, bos {}, eos {}, pad {}; {:016x}\n", path.string(),
        t.kind(), t.vocab_size(), id(t.unk()), id(t.bos()), id(t.eos()), id(t.pad()), t.hash());
    out.json["tokenizer"] = {{"path", path.string()},
                             {"kind", t.kind()},
                             {"vocab_size", t.vocab_size()},
                             {"unk", t.unk()},
                             {"bos", t.bos()},
                             {"eos", t.eos()},
                             {"pad", t.pad()},
                             {"adds_leading_space", t.adds_leading_space()},
                             {"hash", fmt::format("{:016x}", t.hash())}};
}

void inspect_safetensors(Inspection& out, const fs::path& path) {
    const SafetensorsFile file(path);
    const std::vector<TensorInfo>& tensors = file.header().tensors;
    size_t name = 4;
    for (const TensorInfo& t : tensors) name = std::max(name, t.name.size());
    out.text += fmt::format("{}: {} tensors\n", path.string(), tensors.size());
    for (const auto& [key, value] : file.header().metadata)
        out.text += fmt::format("  {} = {}\n", key, value);
    out.json["metadata"] = file.header().metadata;
    out.json["tensors"] = Json::array();
    for (const TensorInfo& t : tensors) {
        out.text +=
            fmt::format("  {:<{}}  {:<5} {:>10}  {}\n", t.name, name, t.dtype,
                        format_bytes(static_cast<double>(t.end - t.begin)), t.shape_string());
        out.json["tensors"].push_back(
            {{"name", t.name}, {"dtype", t.dtype}, {"shape", t.shape}, {"bytes", t.end - t.begin}});
    }
}

} // namespace tnl
