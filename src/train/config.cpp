#include "train/config.h"

#include "base/check.h"
#include "base/file.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tnl {
namespace fs = std::filesystem;

std::vector<std::pair<std::string_view, Recomputation>> enum_names(Recomputation) {
    return {{"auto", Recomputation::fit},
            {"none", Recomputation::none},
            {"glu", Recomputation::glu},
            {"block", Recomputation::block}};
}

std::string_view name_of(Recomputation recomputation) {
    for (const auto& [name, value] : enum_names(recomputation))
        if (value == recomputation) return name;
    return "?";
}

std::vector<std::pair<std::string_view, Products>> enum_names(Products) {
    return {{"dtype", Products::dtype}, {"fp8", Products::fp8}};
}

std::vector<std::pair<std::string_view, Rounding>> enum_names(Rounding) {
    return {{"nearest", Rounding::nearest}, {"stochastic", Rounding::stochastic}};
}
std::vector<std::pair<std::string_view, Place>> enum_names(Place) {
    return {{"device", Place::device}, {"host", Place::host}};
}
std::vector<std::pair<std::string_view, Through>> enum_names(Through) {
    return {{"truncated", Through::truncated}, {"exact", Through::exact}};
}

std::vector<std::pair<std::string_view, DecayLaw>> enum_names(DecayLaw) {
    return {{"alibi", DecayLaw::alibi},
            {"paper", DecayLaw::paper},
            {"fla", DecayLaw::fla},
            {"none", DecayLaw::none}};
}

namespace {

template <class T> void want(bool ok, const char* field, const T& value, const char* wanted) {
    if (!ok) throw UsageError(fmt::format("{} = {}: wanted {}", field, value, wanted));
}

void check_optimizer(const OptimizerConfig& o) {
    want(o.lr > 0, "optimizer.lr", o.lr, "a positive number, about 1e-3 for small models");
    want(o.beta1 >= 0 && o.beta1 < 1, "optimizer.beta1", o.beta1, "0 or more, less than 1");
    want(o.beta2 >= 0 && o.beta2 < 1, "optimizer.beta2", o.beta2, "0 or more, less than 1");
    want(o.eps > 0, "optimizer.eps", o.eps, "a positive number, usually 1e-8");
    want(o.weight_decay >= 0, "optimizer.weight_decay", o.weight_decay, "0 or more");
    want(o.clip >= 0, "optimizer.clip", o.clip, "0 (never) or a positive norm");
}

void check_loop(const LoopConfig& t) {
    if ((t.steps != 0) + (t.tokens != 0) > 1 || (t.steps == 0 && t.tokens == 0 && t.minutes == 0))
        throw UsageError(fmt::format("train.steps = {}, train.tokens = {}, train.minutes = {}: "
                                     "wanted steps or tokens, or minutes, or minutes with one of "
                                     "the others as a limit",
                                     t.steps, t.tokens, t.minutes));
    want(t.steps >= 0, "train.steps", t.steps, "a positive number");
    want(t.tokens >= 0, "train.tokens", t.tokens, "a positive number");
    want(t.minutes >= 0, "train.minutes", t.minutes, "a positive number");
    want(t.rows > 0, "train.rows", t.rows, "at least 1 sequence");
    want(t.length > 0, "train.length", t.length, "at least 1 token");
    want(t.rows < (int64_t{1} << 31) / t.length, "train.rows", t.rows,
         "rows times length below 2^31");
    want(t.accumulate > 0, "train.accumulate", t.accumulate, "at least 1 micro-batch");
    want(t.head_chunk >= 0, "train.head_chunk", t.head_chunk, "0 (chosen) or a number of rows");
    want(t.threads >= 0, "train.threads", t.threads, "0 (one per core) or a number of threads");
    want(t.dtype == "f32" || t.dtype == "bf16", "train.dtype", t.dtype, "f32 or bf16");
}

// All dimensions of a product of 8 bits are multiples of 16.
void check_products(const TrainConfig& config) {
    if (config.train.products != Products::fp8) return;
    const ModelConfig& m = config.model;
    want(config.train.dtype == "bf16", "train.dtype", config.train.dtype,
         "bf16 where train.products is fp8");
    want(config.micro_tokens() % 16 == 0, "train.rows * train.length", config.micro_tokens(),
         "a multiple of 16 where train.products is fp8");
    for (const auto& [field, width] :
         {std::pair("model.decoder_embed_dim", m.decoder_embed_dim),
          std::pair("model.hidden_dim", m.hidden_dim), std::pair("model.glu_dim", m.glu_width())})
        want(width % 16 == 0, field, width, "a multiple of 16 where train.products is fp8");
}

void check_lora(const TrainConfig& config) {
    const LoraOptions& lora = config.train.lora;
    want(lora.rank >= 0, "train.lora.rank", lora.rank, "0 (no adapters) or more, such as 8 or 16");
    if (lora.rank == 0) {
        want(lora.targets.empty(), "train.lora.targets",
             fmt::format("{}", fmt::join(lora.targets, ",")), "none, or train.lora.rank above 0");
        want(lora.alpha == LoraOptions().alpha, "train.lora.alpha", lora.alpha,
             "its default, or train.lora.rank above 0");
        return;
    }
    want(lora.alpha > 0, "train.lora.alpha", lora.alpha, "a positive number, such as 16");
    if (config.init.empty())
        throw UsageError(fmt::format("train.lora.rank = {}, init is not given: wanted the model "
                                     "that the adapters are for, as init=DIR",
                                     lora.rank));
}

bool is_model_path(const std::string& preset) {
    return preset.find('/') != std::string::npos || preset.ends_with(".json");
}

ModelConfig named_model(const std::string& preset) {
    if (!is_model_path(preset)) return model_preset(preset);
    const fs::path path(preset);
    return read_model_config(fs::is_directory(path) ? path / "config.json" : path);
}

void apply(ConfigBinding& binding, const TrainConfigSources& sources) {
    for (const fs::path& file : sources.files) binding.load(file);
    for (const std::string& text : sources.overrides) binding.set(text);
}

// Whether a run that goes on may change this: it leaves every number that the run computes alone,
// or only their rounding (device, threads). The data is compared with the checkpoint's.
bool may_change(const std::string& key) {
    constexpr std::array kFree = {"data.train",        "data.validation",
                                  "data.tokenizer",    "data.chat_template",
                                  "data.val_fraction", "eval.",
                                  "checkpoint.",       "guard.",
                                  "optimizer.memory",  "log.",
                                  "train.device",      "train.threads"};
    return std::any_of(kFree.begin(), kFree.end(),
                       [&](const char* prefix) { return key.starts_with(prefix); });
}

} // namespace

DType TrainConfig::checkpoint_dtype() const {
    return checkpoint.dtype == "auto" ? dtype() : dtype_from_name(checkpoint.dtype);
}

Schedule TrainConfig::lr_schedule() const {
    return {schedule.kind, train.steps, schedule.warmup.value_or(0), schedule.min_ratio};
}

void TrainConfig::validate() {
    check_loop(train);
    if (const int64_t tokens = train.batch_tokens; tokens != 0) {
        if (tokens < 0 || tokens % micro_tokens() != 0)
            throw UsageError(fmt::format(
                "train.batch_tokens = {}: wanted a multiple of train.rows * train.length = {} * {} "
                "= {}",
                tokens, train.rows, train.length, micro_tokens()));
        train.accumulate = tokens / micro_tokens();
    }
    want(train.pieces >= 1, "train.pieces", train.pieces, "at least 1");
    if (train.pieces > 1) {
        want(train.through == Through::truncated || train.accumulate % train.pieces == 0,
             "train.accumulate", train.accumulate,
             "a multiple of train.pieces where train.through is exact: whole sequences in a step");
        want(!model.is_llama(), "train.pieces", train.pieces,
             "1 where model.model_type is llama: softmax attention has no state to pass from piece "
             "to piece; train.length is what its tokens see");
        want(model.position_embeddings == 0, "train.pieces", train.pieces,
             "1 with learned position embeddings");
    }
    want(data.val_fraction >= 0 && data.val_fraction < 1, "data.val_fraction", data.val_fraction,
         "a share from 0 to below 1");
    check_lora(*this);
    check_products(*this);
    check_optimizer(optimizer);
    want(optimizer.rounding == Rounding::nearest || train.dtype == "bf16", "train.dtype",
         train.dtype, "bf16 where optimizer.rounding is stochastic");
    want(schedule.min_ratio >= 0 && schedule.min_ratio <= 1, "schedule.min_ratio",
         schedule.min_ratio, "a share between 0 and 1");
    if (schedule.warmup)
        want(*schedule.warmup >= 0, "schedule.warmup", *schedule.warmup, "0 steps or more");
    want(eval.every >= 0, "eval.every", eval.every, "0 (only at the end) or a number of steps");
    want(eval.batches >= 0, "eval.batches", eval.batches, "0 (all) or a number of micro-batches");
    want(checkpoint.every >= 0, "checkpoint.every", checkpoint.every,
         "0 (only at the end) or a number of steps");
    want(checkpoint.keep >= 0, "checkpoint.keep", checkpoint.keep, "0 (all) or a number");
    const std::string& stored = checkpoint.dtype;
    want(stored == "auto" || stored == "f32" || stored == "bf16", "checkpoint.dtype", stored,
         "f32, bf16 or auto");
    want(log.every > 0, "log.every", log.every, "1 step or more");
    want(log.peak_tflops >= 0, "log.peak_tflops", log.peak_tflops, "0 (unknown) or more");
    guard.validate();
    model.validate();
    want(model.position_embeddings == 0 || model.position_embeddings >= train.length,
         "train.length", train.length, "at most model.position_embeddings");
}

void TrainConfig::resolve_steps(double seconds_per_step) {
    if (train.tokens > 0) train.steps = (train.tokens + step_tokens() - 1) / step_tokens();
    if (train.minutes > 0) {
        const auto fit = std::max<int64_t>(
            1, static_cast<int64_t>(train.minutes * 60 / std::max(1e-9, seconds_per_step)));
        train.steps = train.steps > 0 ? std::min(train.steps, fit) : fit;
    }
    train.tokens = 0;
    train.minutes = 0;
    if (!schedule.warmup) schedule.warmup = std::min<int64_t>(2000, train.steps / 20);
    want(*schedule.warmup <= train.steps, "schedule.warmup", *schedule.warmup,
         "at most the steps of the run");
}

std::string TrainConfig::json() const {
    TrainConfig copy = *this; // bindings want to write
    return ConfigBinding(copy).json();
}

TrainConfig read_train_config(const TrainConfigSources& sources, std::vector<std::string>* given) {
    TrainConfig config;
    {
        ConfigBinding first(config);
        apply(first, sources);
    }
    // Again over the preset, whose fields only those given may change.
    const std::string preset = config.preset, init = config.init;
    config = TrainConfig();
    if (!init.empty() && !preset.empty())
        throw UsageError(fmt::format("preset = {}, init = {}: wanted one of them: the model of "
                                     "init is its own",
                                     preset, init));
    if (!init.empty())
        config.model = read_model_config(fs::path(init) / "config.json");
    else if (!preset.empty())
        config.model = named_model(preset);
    ConfigBinding binding(config);
    apply(binding, sources);
    if (preset.empty() && init.empty() && !binding.given("model.decoder_embed_dim"))
        throw UsageError("no model: wanted preset=NAME (such as tiny, 2M, 25M, 385M) or "
                         "preset=FILE of a config.json");
    const bool whole_model = !init.empty() || is_model_path(preset);
    if (given != nullptr)
        for (const std::string& key : binding.keys())
            if (binding.given(key) || (whole_model && key.starts_with("model.")))
                given->push_back(key);
    config.validate();
    return config;
}

TrainConfig read_run_config(const fs::path& run_directory, const TrainConfigSources& sources) {
    const fs::path path = run_directory / "run.json";
    if (!fs::exists(path))
        fail("{}: not found; wanted the directory of a run that has begun", path.string());
    TrainConfig stored;
    ConfigBinding stored_binding(stored);
    try {
        stored_binding.load(path);
    } catch (const UsageError& e) { // not of this command line
        fail("{}", e.what());
    }
    stored.run = run_directory.string(); // it may have been moved

    TrainConfig config = stored;
    ConfigBinding binding(config);
    apply(binding, sources);
    config.run = stored.run;
    // Budgets have become steps: time measured once, tokens by the batch.
    LoopConfig& t = config.train;
    if (binding.given("train.minutes") && t.minutes > 0) {
        t.steps = stored.train.steps;
        t.tokens = 0;
        t.minutes = 0;
    } else if (binding.given("train.tokens") && t.tokens > 0 && !binding.given("train.steps")) {
        t.steps = 0;
    }
    config.validate();
    config.resolve_steps(0);
    const auto whole = [](const std::string& init) {
        return init.empty() ? fs::path() : fs::absolute(init).lexically_normal();
    };
    ConfigBinding before(stored), after(config);
    for (size_t i = 0; i < before.fields().size(); ++i) {
        const std::string &key = before.fields()[i].key, &old = before.fields()[i].initial,
                          &now = after.fields()[i].initial;
        // Adapters know their base by its checksum, wherever it lies.
        const bool moved = key == "init" &&
                           (stored.train.lora.rank > 0 || whole(config.init) == whole(stored.init));
        if (old != now && !moved && !may_change(key))
            throw UsageError(fmt::format(
                "{} = {}: the run in {} began with {} and goes on as it began; only data.* but "
                "data.reset, init of a run of adapters, eval.*, checkpoint.*, guard.*, log.*, "
                "optimizer.memory, train.device and train.threads may change",
                key, now, run_directory.string(), old));
    }
    return config;
}

std::string train_config_help() {
    TrainConfig config;
    return ConfigBinding(config).help();
}

} // namespace tnl
