// transnormer serve: a model behind OpenAI's API.
#include "cli/cli.h"
#include "cli/commands.h"
#include "serve/server.h"

#include <sys/resource.h>

#include <cstdlib>

namespace tnl {
namespace {

struct ServeOptions {
    std::string model, adapter, device = "auto", dtype = "auto", weights = "keep", api_key,
                                served_name, chat_template;
    int64_t slots = 64, chunk = 256, queue = 1024, prefix_cache = 256, max_body = 16;
    double timeout = 30, keep_alive = 15;
    int threads = 0;
    Server::Options server;
};

std::string name_of_model(const ServeOptions& o) {
    if (!o.served_name.empty()) return o.served_name;
    std::filesystem::path path = std::filesystem::absolute(o.model).lexically_normal();
    if (path.filename().empty()) path = path.parent_path();
    return path.filename().string();
}

// Every connection is a file.
void allow_many_files() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

std::string api_key_of(const ServeOptions& o) {
    const char* key = std::getenv("TRANSNORMER_API_KEY");
    return !o.api_key.empty() || key == nullptr ? o.api_key : std::string(key);
}

int run_serve(ServeOptions o) {
    const ChatTemplate chat = ChatTemplate::load_or_plain(o.chat_template);
    const LoadedModel loaded(o.model, o.device, o.threads, o.dtype, o.adapter, o.weights);
    const GenerationConfig config = load_generation_config(o.model);
    Session session(loaded.model, *loaded.device, loaded.weights,
                    {.dtype = loaded.dtype,
                     .slots = o.slots,
                     .chunk = o.chunk,
                     .scored_rows = std::min<int64_t>(o.chunk, 256)});
    Engine engine(session,
                  {static_cast<size_t>(o.queue), static_cast<size_t>(o.prefix_cache) << 20});
    Served served{loaded, engine};
    served.limits.model = name_of_model(o);
    served.limits.vocab = loaded.tokenizer.vocab_size();
    served.limits.slots = o.slots;
    served.limits.sampler = default_sampler(config, loaded);
    served.limits.sampler.validate();
    served.limits.chat_max_tokens = config.max_new_tokens.value_or(512);
    served.chat = chat;
    served.end_tokens = end_tokens_of(config, loaded);
    served.state_bytes = session.memory().states / static_cast<size_t>(o.slots);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    served.created = std::chrono::duration_cast<std::chrono::seconds>(now).count();
    served.api_key = api_key_of(o);
    o.server.http.body = static_cast<size_t>(o.max_body) << 20;
    o.server.http.timeout = std::chrono::milliseconds(static_cast<int64_t>(o.timeout * 1000));
    o.server.http.keep_alive = std::chrono::milliseconds(static_cast<int64_t>(o.keep_alive * 1000));
    allow_many_files();
    Server server(served, o.server);
    const bool v6 = o.server.host.find(':') != std::string::npos;
    fmt::print("{} on {}: {} slots of {} KiB state\nlistening on http://{}{}{}:{}\n",
               served.limits.model, loaded.device->name(), o.slots,
               (served.state_bytes + 1023) / 1024, v6 ? "[" : "", o.server.host, v6 ? "]" : "",
               server.port());
    std::fflush(stdout);
    server.run();
    engine.drain();
    const Engine::Stats stats = engine.stats();
    fmt::print("stopped after {} requests, {} prompt tokens, {} new tokens\n", stats.requests,
               stats.prompt_tokens, stats.new_tokens);
    return kOk;
}

} // namespace

void add_serve_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand("serve", "Serve a model over HTTP, by OpenAI's API");
    const auto o = std::make_shared<ServeOptions>();
    command->add_option("--model", o->model, "Model directory")->required();
    command->add_option("--adapter", o->adapter,
                        "Directory of a low-rank adapter of the model, from train or PEFT");
    command->add_option("--host", o->server.host, "Address to listen on");
    command->add_option("--port", o->server.port, "Port to listen on; 0: any that is free");
    command->add_option("--api-key", o->api_key,
                        "Key that clients must send; default: $TRANSNORMER_API_KEY, or none");
    command->add_option("--served-name", o->served_name,
                        "Name of the model; default: that of its directory");
    command->add_option("--chat-template", o->chat_template,
                        "JSON file: {\"begin\": \"\", \"stops\": [], \"roles\": {\"user\": "
                        "{\"prefix\": \"\", \"suffix\": \"\"}, \"assistant\": ...}}; default: "
                        "\"User: ...\" and \"Assistant: ...\"");
    command->add_option("--slots", o->slots, "Sequences decoded together")
        ->check(CLI::PositiveNumber);
    command
        ->add_option("--chunk", o->chunk,
                     "Prompt tokens of one call; states of prompts are cached at multiples of it")
        ->check(CLI::PositiveNumber);
    command->add_option("--queue", o->queue, "Requests that may wait; more are answered 429")
        ->check(CLI::NonNegativeNumber);
    command
        ->add_option("--prefix-cache", o->prefix_cache,
                     "MiB for states of beginnings of prompts; 0: none")
        ->check(CLI::NonNegativeNumber);
    command->add_option("--max-body", o->max_body, "MiB of a request's body, at most")
        ->check(CLI::Range(1, 4096));
    command
        ->add_option("--timeout", o->timeout,
                     "Seconds for a request to arrive, and for a piece of an answer to leave")
        ->check(CLI::Range(0.1, 86400.0));
    command
        ->add_option("--keep-alive", o->keep_alive,
                     "Seconds without a token after which a stream gets a comment, so that nobody "
                     "between takes it for dead; 0: never")
        ->check(CLI::Range(0.0, 86400.0));
    command->add_option("--device", o->device, "cpu, cuda, cuda:N or auto");
    command->add_option("--dtype", o->dtype, "f32, bf16, or auto: that of the stored weights");
    command
        ->add_option("--weights", o->weights,
                     "Of the layers' matrices: int8 or int4 makes these of floats (docs/"
                     "quantization.md); keep: as stored")
        ->check(CLI::IsMember({"keep", "int8", "int4"}));
    command->add_option("--threads", o->threads, "CPU threads; 0: one per core")
        ->check(CLI::NonNegativeNumber);
    on_run(command, [o] { return run_serve(*o); });
}

} // namespace tnl
