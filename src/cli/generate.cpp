// transnormer generate: text after prompts.
#include "cli/cli.h"
#include "cli/commands.h"
#include "infer/generator.h"
#include "infer/loaded_model.h"
#include "infer/snapshot.h"
#include "infer/stream_text.h"

#include "base/file.h"
#include "base/json.h"
#include "text/reader.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <iterator>

namespace tnl {
namespace {

struct GenerateOptions {
    std::string model, adapter, device = "auto", dtype = "auto", weights = "keep";
    std::string load_state, save_state;
    std::vector<std::string> prompts, prompt_files, stops;
    std::optional<int64_t> max_new_tokens, top_k;
    std::optional<double> temperature, top_p, min_p, repetition_penalty;
    uint64_t seed = 0;
    int64_t samples = 1, batch = 16, chunk = 0;
    int threads = 0;
    bool stream = true, json = false, echo = false, ignore_end = false, quiet = false;
};

std::string read_stdin() {
    return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

// --prompt, then --prompt-file: JSONL gives a prompt a line, anything else is one prompt.
std::vector<std::string> all_prompts(const GenerateOptions& o) {
    std::vector<std::string> out = o.prompts;
    for (const std::string& file : o.prompt_files) {
        if (file == "-") {
            out.push_back(read_stdin());
            continue;
        }
        ReaderOptions options;
        options.records = Records::text;
        options.field = "prompt";
        DocumentReader reader({file}, options);
        for (Document document; reader.next(document);) out.push_back(document.text);
    }
    if (out.empty()) {
        if (isatty(STDIN_FILENO))
            throw UsageError("no prompt: give --prompt TEXT, --prompt-file FILE or text on stdin");
        out.push_back(read_stdin());
    }
    for (size_t i = 0; i < out.size(); ++i)
        if (const size_t at = first_invalid_utf8(out[i]); at != std::string::npos)
            fail("prompt {} is not valid UTF-8 at byte {}", i + 1, at);
    return out;
}

int64_t chunk_of(const GenerateOptions& o, const Device& device) {
    if (o.chunk > 0) return o.chunk;
    return device.kind() == DeviceKind::cpu ? 1024 : 4096;
}

SamplerOptions sampler_of(const GenerateOptions& o, const GenerationConfig& config,
                          const LoadedModel& loaded) {
    SamplerOptions s = default_sampler(config, loaded);
    s.temperature = o.temperature.value_or(s.temperature);
    s.top_k = o.top_k.value_or(s.top_k);
    s.top_p = o.top_p.value_or(s.top_p);
    s.min_p = o.min_p.value_or(s.min_p);
    s.repetition_penalty = o.repetition_penalty.value_or(s.repetition_penalty);
    s.seed = o.seed;
    s.validate();
    return s;
}

void show(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

// The texts of all requests as they grow.
class Texts {
  public:
    Texts(const LoadedModel& loaded, const std::vector<std::string>& prompts,
          const GenerateOptions& o)
        : streaming_(o.stream && !o.json && prompts.size() == 1 && o.samples == 1) {
        for (const std::string& prompt : prompts)
            for (int64_t i = 0; i < o.samples; ++i)
                streams_.emplace_back(loaded.tokenizer, o.stops, !prompt.empty());
        texts_.resize(streams_.size());
        if (streaming_ && o.echo) show(prompts[0]);
    }
    bool push(size_t request, int32_t token) {
        add(request, streams_[request].push(token));
        return !streams_[request].stopped();
    }
    void finish() {
        for (size_t i = 0; i < streams_.size(); ++i) add(i, streams_[i].finish());
        if (streaming_) show("\n");
    }
    bool streaming() const { return streaming_; }
    const std::string& text(size_t request) const { return texts_[request]; }
    // A stop string may also be complete only at the end of the tokens.
    bool stopped(size_t request) const { return streams_[request].stopped(); }

  private:
    void add(size_t request, const std::string& piece) {
        texts_[request] += piece;
        if (streaming_ && !piece.empty()) show(piece);
    }
    bool streaming_;
    std::vector<StreamText> streams_;
    std::vector<std::string> texts_;
};

double rate(int64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

Json timing_json(const GenerateTimes& t) {
    Json out;
    out["prompt_tokens"] = t.prompt_tokens;
    out["prompt_seconds"] = t.prefill_seconds;
    out["prompt_tokens_per_second"] = rate(t.prompt_tokens, t.prefill_seconds);
    out["new_tokens"] = t.new_tokens;
    out["decode_tokens"] = t.decode_tokens;
    out["decode_seconds"] = t.decode_seconds;
    out["decode_tokens_per_second"] = rate(t.decode_tokens, t.decode_seconds);
    return out;
}

void print_results(const GenerateOptions& o, const std::vector<std::string>& prompts,
                   const Texts& texts, const std::vector<Generated>& results,
                   const GenerateTimes& times) {
    Json list = Json::array();
    for (size_t i = 0; i < results.size(); ++i) {
        const size_t prompt = i / static_cast<size_t>(o.samples);
        if (!o.json) {
            if (results.size() > 1) fmt::print("{}==== {}\n", i ? "\n" : "", i + 1);
            fmt::print("{}{}\n", o.echo ? prompts[prompt] : "", texts.text(i));
            continue;
        }
        Json item;
        item["prompt"] = prompts[prompt];
        item["text"] = texts.text(i);
        item["tokens"] = results[i].tokens;
        item["finish_reason"] = name_of(texts.stopped(i) ? Finish::stopped : results[i].finish);
        list.push_back(item);
    }
    if (!o.json) return;
    Json out;
    out["results"] = list;
    out["timings"] = timing_json(times);
    fmt::print("{}\n", out.dump());
}

// Writes what the session's one sequence has seen: all of `tokens`, of which the newest may be yet
// to be read.
void save_state(const GenerateOptions& o, Session& session, const GenerateRequest& request,
                const std::vector<int32_t>& made) {
    std::vector<int32_t> tokens = request.before;
    tokens.insert(tokens.end(), request.prompt.begin(), request.prompt.end());
    tokens.insert(tokens.end(), made.begin(), made.end());
    while (session.length(0) < std::ssize(tokens))
        session.decode({&tokens[static_cast<size_t>(session.length(0))], 1});
    save_snapshot(o.save_state, session, 0, tokens);
    if (!o.quiet) fmt::print(stderr, "[state after {} tokens: {}]\n", tokens.size(), o.save_state);
}

int run_generate(const GenerateOptions& o) {
    const std::vector<std::string> prompts = all_prompts(o);
    if ((!o.load_state.empty() || !o.save_state.empty()) && (prompts.size() != 1 || o.samples != 1))
        throw UsageError(fmt::format("--load-state and --save-state are of one sequence, not of {} "
                                     "prompts with {} continuations each",
                                     prompts.size(), o.samples));
    const StopFilter check(o.stops); // before a model is loaded
    const LoadedModel loaded(o.model, o.device, o.threads, o.dtype, o.adapter, o.weights);
    const GenerationConfig config = load_generation_config(o.model);
    GenerateRequest request;
    request.sampler = sampler_of(o, config, loaded);
    if (!o.ignore_end) request.end_tokens = end_tokens_of(config, loaded);
    request.max_new_tokens = o.max_new_tokens.value_or(config.max_new_tokens.value_or(256));

    const int64_t sequences = std::ssize(prompts) * o.samples;
    Session session(loaded.model, *loaded.device, loaded.weights,
                    {loaded.dtype, std::min(o.batch, sequences), chunk_of(o, *loaded.device)});
    if (!o.load_state.empty()) {
        request.before = load_snapshot(o.load_state, session, 0);
        request.restore = [&](int64_t slot) { load_snapshot(o.load_state, session, slot); };
    }
    std::vector<GenerateRequest> requests;
    for (const std::string& prompt : prompts) {
        // What continues a text has no beginning of its own.
        request.prompt =
            request.before.empty() ? loaded.encode(prompt) : loaded.tokenizer.encode(prompt);
        for (int64_t i = 0; i < o.samples; ++i) {
            request.id = requests.size();
            requests.push_back(request);
        }
    }
    Texts texts(loaded, prompts, o);
    GenerateTimes times;
    const auto results = generate(
        session, requests, [&](size_t i, int32_t token) { return texts.push(i, token); }, &times);
    texts.finish();
    if (!o.save_state.empty()) save_state(o, session, requests[0], results[0].tokens);
    if (!texts.streaming()) print_results(o, prompts, texts, results, times);
    if (!o.quiet)
        fmt::print(stderr,
                   "[prompt {} tokens, {:.1f} tokens/s; generated {} tokens, {:.1f} tokens/s; "
                   "{}]\n",
                   times.prompt_tokens, rate(times.prompt_tokens, times.prefill_seconds),
                   times.new_tokens, rate(times.decode_tokens, times.decode_seconds),
                   loaded.device->name());
    return kOk;
}

void add_sampling_options(CLI::App* command, GenerateOptions& o) {
    const std::string rest = "; default: generation_config.json, else ";
    command
        ->add_option("--max-new-tokens", o.max_new_tokens, "Tokens to make at most" + rest + "256")
        ->check(CLI::NonNegativeNumber);
    command->add_option("--temperature", o.temperature,
                        "0 takes the likeliest token, 1 samples as trained" + rest + "1");
    command->add_option("--top-k", o.top_k, "Sample from the k likeliest; 0: all" + rest + "0");
    command->add_option("--top-p", o.top_p,
                        "Sample from the fewest that reach this probability" + rest + "1");
    command->add_option("--min-p", o.min_p,
                        "Drop tokens less likely than this times the likeliest" + rest + "0");
    command->add_option("--repetition-penalty", o.repetition_penalty,
                        "Divides the logits of tokens already there; 1: none" + rest + "1");
    command->add_option("--seed", o.seed, "Seed of the random numbers");
    command->add_option("--stop", o.stops, "Text that ends the output and is not shown; repeatable")
        ->allow_extra_args(false);
    command->add_flag("--ignore-eos", o.ignore_end, "Go on after an end-of-text token");
}

} // namespace

void add_generate_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand("generate", "Continue prompts with a trained model");
    const auto o = std::make_shared<GenerateOptions>();
    o->stream = isatty(STDOUT_FILENO);
    command->add_option("--model", o->model, "Model directory")->required();
    command->add_option("--adapter", o->adapter,
                        "Directory of a low-rank adapter of the model, from train or PEFT");
    command->add_option("--prompt", o->prompts, "Text to continue; repeatable")
        ->allow_extra_args(false);
    command
        ->add_option(
            "--prompt-file", o->prompt_files,
            "File with one prompt, or JSONL with a \"prompt\" a line; - is stdin; repeatable")
        ->allow_extra_args(false);
    add_sampling_options(command, *o);
    command->add_option("--n", o->samples, "Continuations of each prompt")
        ->check(CLI::PositiveNumber);
    command->add_flag("--stream,!--no-stream", o->stream,
                      "Show text as it grows (one prompt only); default on a terminal");
    command->add_flag("--json", o->json, "Print one JSON object: results and timings");
    command->add_flag("--echo", o->echo, "Show the prompt before the text");
    command->add_flag("--quiet", o->quiet, "No line of statistics on stderr");
    command->add_option("--load-state", o->load_state,
                        "File of --save-state: the prompt continues the text that it has read");
    command->add_option(
        "--save-state", o->save_state,
        "File for the state after prompt and output: what was read need not be read "
        "again");
    command->add_option("--batch", o->batch, "Sequences decoded together")
        ->check(CLI::PositiveNumber);
    command->add_option("--chunk", o->chunk, "Prompt tokens of one call; 0: 1024, on a GPU 4096")
        ->check(CLI::NonNegativeNumber);
    command->add_option("--device", o->device, "cpu, cuda, cuda:N or auto");
    command->add_option("--dtype", o->dtype, "f32, bf16, or auto: that of the stored weights");
    command
        ->add_option("--weights", o->weights,
                     "Of the layers' matrices: int8 or int4 makes these of floats (docs/"
                     "quantization.md); keep: as stored")
        ->check(CLI::IsMember({"keep", "int8", "int4"}));
    command->add_option("--threads", o->threads, "CPU threads; 0: one per core")
        ->check(CLI::NonNegativeNumber);
    on_run(command, [o] { return run_generate(*o); });
}

} // namespace tnl
