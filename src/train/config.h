// Everything that a training run is: the one list of settings behind config files, "key=value" on
// the command line, help, and run.json in the run's directory.
#pragma once

#include "base/config.h"
#include "model/config.h"
#include "model/model.h"
#include "train/guard.h"
#include "train/schedule.h"

#include <optional>
#include <string>
#include <vector>

namespace tnl {

// Whether gradients pass from a piece of a sequence to the piece before.
enum class Through { truncated, exact };

// What the backward makes again; fit: nothing, unless the device is too small for that. The bits of
// a run are the same either way.
enum class Recomputation { fit, none, glu, block };

// How weights become bf16: rounded to nearest, from f32 master weights, or there are no masters and
// each update is rounded to one of its two neighbours at random, right in the mean.
enum class Rounding { nearest, stochastic };

std::vector<std::pair<std::string_view, Recomputation>> enum_names(Recomputation);
std::string_view name_of(Recomputation recomputation);
std::vector<std::pair<std::string_view, Products>> enum_names(Products);
std::vector<std::pair<std::string_view, Through>> enum_names(Through);
std::vector<std::pair<std::string_view, DecayLaw>> enum_names(DecayLaw);
std::vector<std::pair<std::string_view, Rounding>> enum_names(Rounding);
std::vector<std::pair<std::string_view, Place>> enum_names(Place);

struct DataConfig {
    std::string train, validation, tokenizer, chat_template;
    double val_fraction = 0;
    bool reset = true;

    template <class V> void fields(V&& visit) {
        visit("train", train,
              "tokens to train on: what tokenize wrote (its train/ and val/), or a directory of "
              "shards, or one shard; or a .jsonl or .txt file (.gz, .zst), which is tokenized into "
              "data/ of the run: texts, or instructions whose answers are learned");
        visit("validation", validation, "held-out tokens, likewise; empty: val/ beside train/");
        visit(
            "tokenizer", tokenizer,
            "tokenizer.model copied into checkpoints; empty: beside the training data, or that of "
            "init");
        visit("chat_template", chat_template,
              "JSON file of the text around messages and instructions, as serve --chat-template "
              "takes it; empty: \"User: ...\" and \"Assistant: ...\"");
        visit("val_fraction", val_fraction,
              "share of the records of a text file that are held out, chosen by hash");
        visit("reset", reset, "the state starts anew at each document");
    }
};

struct OptimizerConfig {
    double lr = 1e-3, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1, clip = 1;
    Rounding rounding = Rounding::nearest;
    Place memory = Place::device;

    template <class V> void fields(V&& visit) {
        visit("lr", lr, "peak learning rate of AdamW");
        visit("beta1", beta1, "decay of the mean of gradients");
        visit("beta2", beta2, "decay of the mean of squared gradients");
        visit("eps", eps, "added to the root of the latter");
        visit("weight_decay", weight_decay, "decoupled, of matrices only");
        visit("clip", clip, "largest norm of the gradient; 0: never clipped");
        visit("rounding", rounding,
              "of bf16 weights. nearest: from f32 master weights; stochastic: no master weights, "
              "each update is rounded up or down at random, right in the mean");
        visit("memory", memory,
              "where moments and master weights lie: device, or host, for GPUs too small to hold "
              "them. The bits of a run are the same; an update of host memory takes as long as the "
              "bus needs for 24 bytes a parameter");
    }
};

struct ScheduleConfig {
    ScheduleKind kind = ScheduleKind::cosine;
    std::optional<int64_t> warmup;
    double min_ratio = 0.1;

    template <class V> void fields(V&& visit) {
        visit("kind", kind, "course of the learning rate after warm-up: cosine, linear, constant");
        visit("warmup", warmup, "steps of linear rise; null: a twentieth of the run, at most 2000");
        visit("min_ratio", min_ratio, "learning rate at the end, as a share of the peak");
    }
};

struct LoopConfig {
    int64_t steps = 0, tokens = 0;
    double minutes = 0;
    int64_t rows = 8, length = 512, accumulate = 1, batch_tokens = 0;
    std::string dtype = "f32";
    Products products = Products::dtype;
    int64_t pieces = 1;
    Through through = Through::truncated;
    Recomputation recompute = Recomputation::fit;
    int64_t head_chunk = 0;
    uint64_t seed = 1;
    std::string device = "auto";
    int threads = 0;
    LoraOptions lora;

    template <class V> void fields(V&& visit) {
        visit("steps", steps, "updates of the weights; or give tokens, or minutes");
        visit("tokens", tokens, "tokens to train on, rounded up to whole steps");
        visit("minutes", minutes,
              "time to train for, also beside steps or tokens: what ends first. Becomes a number "
              "of steps at the start, from the speed measured then");
        visit("rows", rows, "sequences of a micro-batch (B)");
        visit("length", length, "tokens of a sequence (T)");
        visit("accumulate", accumulate, "micro-batches of a step, their gradients summed");
        visit("batch_tokens", batch_tokens,
              "tokens of a step; sets accumulate = batch_tokens / (rows length) when given");
        visit("pieces", pieces,
              "micro-batches over which a sequence goes on, its state passed from one to the next: "
              "rows have length * pieces tokens, and documents go on over their pieces");
        visit("through", through,
              "gradients between pieces. truncated: none, the state counts as given. exact: as of "
              "one whole sequence, for a second forward pass; wants accumulate to be whole "
              "sequences");
        visit("dtype", dtype, "f32, or bf16 with f32 master weights");
        visit("products", products,
              "matrix products of the layers: dtype, or fp8: 8 bits, for GPUs that have them (Ada, "
              "Hopper); wants dtype=bf16. Held-out losses are in dtype");
        visit("recompute", recompute,
              "none: keep activations; glu: make the gated units' factors again backward; block: "
              "keep "
              "each block's input alone, run it again; auto: the first of these that fits into "
              "memory");
        visit("head_chunk", head_chunk,
              "rows whose logits exist at once; 0: 1024, on a GPU those that 512 MiB hold");
        visit("seed", seed, "of the initial weights and of the order of the data");
        visit("device", device, "cpu, cuda, cuda:N, or auto: a GPU if there is one");
        visit("threads", threads, "CPU threads; 0: one per core");
        visit("lora", lora, "");
    }
};

struct EvalConfig {
    int64_t every = 250, batches = 32;

    template <class V> void fields(V&& visit) {
        visit("every", every, "steps between evaluations on held-out data; 0: only at the end");
        visit("batches", batches, "micro-batches of an evaluation; 0: all of the held-out data");
    }
};

struct CheckpointConfig {
    int64_t every = 250, keep = 3;
    bool keep_best = true;
    std::string dtype = "auto";

    template <class V> void fields(V&& visit) {
        visit("every", every,
              "steps between checkpoints; 0: only at the end. They are written beside the steps, "
              "from "
              "a copy in the host's memory, where twice its size is free");
        visit("keep", keep, "checkpoints kept, the latest ones; 0: all");
        visit("keep_best", keep_best, "also keep the one with the lowest held-out loss");
        visit("dtype", dtype,
              "of the weights in model.safetensors: f32, bf16, or auto: train.dtype");
    }
};

struct LogConfig {
    int64_t every = 10;
    bool tensorboard = true;
    double peak_tflops = 0;

    template <class V> void fields(V&& visit) {
        visit("every", every, "steps between lines of metrics.jsonl and, in a pipe, of progress");
        visit("tensorboard", tensorboard, "also write TensorBoard event files");
        visit("peak_tflops", peak_tflops,
              "the device's peak, 1e12 operations/s, for model FLOPs utilisation; 0: not logged");
    }
};

struct TrainConfig {
    std::string run;    // directory of the run
    std::string preset; // where model starts from; a config.json or directory is one, too
    std::string init;   // directory of weights to start from
    ModelConfig model;
    DataConfig data;
    OptimizerConfig optimizer;
    ScheduleConfig schedule;
    LoopConfig train;
    EvalConfig eval;
    CheckpointConfig checkpoint;
    GuardConfig guard;
    LogConfig log;

    template <class V> void fields(V&& visit) {
        visit("run", run, "directory of the run: run.json, metrics.jsonl, checkpoints/");
        visit("preset", preset,
              "size of the model (transnormer inspect lists them), or a "
              "config.json; model.* changes it");
        visit("init", init,
              "directory of a checkpoint whose weights the run starts from; its "
              "config.json is the model's");
        visit("data", data, "");
        visit("train", train, "");
        visit("optimizer", optimizer, "");
        visit("schedule", schedule, "");
        visit("eval", eval, "");
        visit("checkpoint", checkpoint, "");
        visit("guard", guard, "");
        visit("log", log, "");
        visit("model", model, "");
    }

    int64_t micro_tokens() const { return train.rows * train.length; }
    int64_t step_tokens() const { return micro_tokens() * train.accumulate; }
    DType dtype() const { return dtype_from_name(train.dtype); }
    DType checkpoint_dtype() const;
    Schedule lr_schedule() const; // resolved configs only

    // Checks every field; throws UsageError naming field, value and what would be right. Sets
    // accumulate from batch_tokens.
    void validate();
    // Sets train.steps from tokens (or from the seconds of a step, for minutes) and
    // schedule.warmup, so that what is left is a function of steps alone.
    void resolve_steps(double seconds_per_step);
    std::string json() const;
};

// A config from files (later ones win) and "key=value" overrides (which win over files). The model
// is the preset's, changed by the model.* that were given.
struct TrainConfigSources {
    std::vector<std::filesystem::path> files;
    std::vector<std::string> overrides;
};
// given, if asked for: the keys that the sources named; all of model.* where the model came from a
// file or from init.
TrainConfig read_train_config(const TrainConfigSources& sources,
                              std::vector<std::string>* given = nullptr);

// run.json of a run that has begun, changed by the sources: the command line that began it is
// right, but only keys that leave the run's arithmetic alone may differ (throws UsageError naming
// the key and both values).
TrainConfig read_run_config(const std::filesystem::path& run_directory,
                            const TrainConfigSources& sources);

// Every key with its default and what it means, a line each.
std::string train_config_help();

} // namespace tnl
