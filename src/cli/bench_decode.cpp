// transnormer bench decode: one token at a time, against the memory that must be read for it.
#include "cli/bench_common.h"
#include "cli/machine.h"
#include "infer/sequence.h"
#include "ops/limits.h"

#include <algorithm>
#include <cstdio>
#include <optional>

namespace tnl {
namespace {

struct DecodeOptions {
    BenchOptions common;
    std::string preset = "385M", dtype = "bf16", weights = "keep";
    int64_t batch = 1, tokens = 128, chunk = 1024;
    std::vector<int64_t> contexts{0};
    bool no_prefill = false, host_sampling = false;
    SamplerOptions sampler;
    DecodeOptions() { sampler.temperature = 0; }
};

// Bytes of weights that one decode step reads: all of them, but of the embedding table that is not
// also the head only the batch's rows.
int64_t weight_bytes_read(const Model& model, DType dtype, int64_t batch) {
    const ModelConfig& c = model.config();
    int64_t bytes = 0;
    for (const Param& p : model.params().all())
        bytes += p.format == QuantFormat::none ? p.size * size_of(dtype) : p.bytes();
    if (!c.tie_word_embeddings || c.weights.head != QuantFormat::none)
        bytes -= (c.vocab_size - batch) * c.decoder_embed_dim * size_of(dtype);
    return bytes;
}

constexpr int64_t kBlock = 16; // steps between two measurements of the memory

struct Timed {
    std::vector<double> steps;     // seconds
    std::vector<double> bandwidth; // of the memory, bytes per second, block by block
    std::vector<double> fraction;  // of it that reading the weights amounts to
};

// Seconds of each step, tokens chosen as the generator and the engine do.
std::vector<double> steps_of(Session& session, const DecodeOptions& o, int64_t steps) {
    if (o.sampler.plainly_greedy()) return decode_steps(session, steps);
    GenerateRequest request;
    request.sampler = o.sampler;
    request.max_new_tokens = steps + 1;
    std::vector<Sequence> sequences;
    for (int64_t b = 0; b < o.batch; ++b) {
        sequences.emplace_back(request, session.model().config().vocab_size, b);
        sequences.back().newest.token = static_cast<int32_t>(b + 1);
    }
    std::vector<double> seconds;
    for (int64_t i = 0; i < steps; ++i) {
        const Stopwatch watch;
        decode_step(session, pointers_to(sequences));
        for (Sequence& s : sequences) s.take_newest({});
        seconds.push_back(watch.seconds());
    }
    return seconds;
}

// What a shared machine's memory gives changes from second to second, so steps and measurements of
// it take turns; reader: null on a GPU.
Timed timed_steps(Session& session, const DecodeOptions& o, int64_t weight_bytes,
                  MemoryReader* reader) {
    Timed out;
    for (int64_t done = 0; done < o.tokens; done += kBlock) {
        const double before = reader ? reader->bandwidth() : 0;
        const auto block = steps_of(session, o, std::min(kBlock, o.tokens - done));
        out.steps.insert(out.steps.end(), block.begin(), block.end());
        if (!reader) continue;
        out.bandwidth.push_back(std::max(before, reader->bandwidth()));
        out.fraction.push_back(static_cast<double>(weight_bytes) / median(block) /
                               out.bandwidth.back());
    }
    return out;
}

int run_decode(const DecodeOptions& o) {
    const auto device = o.common.make();
    const DType dtype = dtype_from_name(o.dtype);
    ModelConfig config = model_preset(o.preset);
    if (o.weights != "keep") config.weights = weight_formats(quant_format_from_name(o.weights));
    const Model model(config);
    const bool cpu = device->kind() == DeviceKind::cpu;
    std::optional<MemoryReader> reader;
    if (cpu) reader.emplace(*device);
    const double copy = cpu ? 0 : copy_bandwidth(*device);
    const OwnedTensor weights = random_weights(model, *device, dtype);
    o.sampler.validate();
    Session::Options options{dtype, o.batch, o.chunk};
    if (o.host_sampling) options.samples = false;
    Session session(model, *device, weights, options);
    const int64_t weight_bytes = weight_bytes_read(model, dtype, o.batch);
    // Warm-up: a step, its recording, a replay.
    static_cast<void>(steps_of(session, o, std::max<int64_t>(o.tokens, 3)));
    session.reset(0, o.batch);
    if (!o.no_prefill) { // its shapes are known then, too
        extend_to(session, std::min(64 * o.chunk, std::ranges::max(o.contexts)));
        session.reset(0, o.batch);
    }

    BenchReport report;
    std::vector<int64_t> contexts = o.contexts;
    std::ranges::sort(contexts);
    for (const int64_t context : contexts) {
        const int64_t reached = session.length(0);
        const Stopwatch prefill;
        if (o.no_prefill)
            for (int64_t b = 0; b < o.batch; ++b)
                session.set_length(b, std::max(session.length(b), context));
        else
            extend_to(session, context);
        const double prefill_seconds = prefill.seconds();
        const Timed timed = timed_steps(session, o, weight_bytes, reader ? &*reader : nullptr);
        const double latency = median(timed.steps);
        Json row;
        row["context_tokens"] = context;
        row["prefill_seconds"] = prefill_seconds;
        if (!o.no_prefill)
            row["prefill_tokens_per_second"] = static_cast<double>(o.batch * (context - reached)) /
                                               std::max(prefill_seconds, 1e-9);
        row["milliseconds_per_token"] = latency * 1e3;
        row["slowest_milliseconds"] = *std::ranges::max_element(timed.steps) * 1e3;
        row["tokens_per_second"] = static_cast<double>(o.batch) / latency;
        row["weight_gigabytes_per_second"] = static_cast<double>(weight_bytes) / latency / 1e9;
        if (cpu) {
            row["read_gigabytes_per_second"] = median(timed.bandwidth) / 1e9;
            row["fraction_of_read_bandwidth"] = median(timed.fraction);
        } else {
            row["copy_gigabytes_per_second"] = copy / 1e9;
            row["fraction_of_copy_bandwidth"] = static_cast<double>(weight_bytes) / latency / copy;
        }
        row["session_bytes"] = session.memory().total();
        row["resident_bytes"] = resident_bytes();
        report.rows.push_back(row);
        if (contexts.size() > 1)
            fmt::print(stderr, "context {}: {:.3f} ms per token\n", context, latency * 1e3);
    }
    report.facts["device"] = device->name();
    report.facts["model"] = o.preset;
    report.facts["dtype"] = o.dtype;
    report.facts["weights"] = o.weights == "keep" ? o.dtype : o.weights;
    report.facts["parameters"] = model.params().parameter_count();
    report.facts["batch"] = o.batch;
    report.facts["tokens_chosen"] = o.sampler.plainly_greedy() ? "the largest"
                                    : session.samples()        ? "by lot, on the device"
                                                               : "by lot, on the host";
    report.facts["steps_per_context"] = o.tokens;
    report.facts["context_made_by"] =
        o.no_prefill ? "setting the position only" : "prefill of that many random tokens";
    report.facts["weight_bytes_per_token"] = weight_bytes;
    report.facts["state_bytes_per_sequence"] = model.config().state_bytes();
    print_report(report, o.common.format);
    return kOk;
}

} // namespace

void add_bench_decode(CLI::App& bench) {
    CLI::App* command =
        bench.add_subcommand("decode", "Tokens per second of the recurrence, random weights");
    command->footer(
        "The choice of tokens included, greedy by default. Also the share of the memory's "
        "bandwidth that reading the "
        "weights once a\nstep amounts to: on the CPU of reads, measured before and after "
        "every 16 steps; on a GPU\nof copies within its memory.");
    const auto o = std::make_shared<DecodeOptions>();
    o->common.add_to(*command);
    command->add_option("--preset", o->preset,
                        "Model size (transnormer inspect --help lists them)");
    command->add_option("--dtype", o->dtype, "bf16 or f32");
    command
        ->add_option("--weights", o->weights, "Of the layers' matrices: int8, int4, or keep: dtype")
        ->check(CLI::IsMember({"keep", "int8", "int4"}));
    command->add_option("--batch", o->batch, "Sequences decoded together")
        ->check(CLI::PositiveNumber);
    command->add_option("--tokens", o->tokens, "Steps timed at each context")
        ->check(CLI::PositiveNumber);
    command->add_option("--chunk", o->chunk, "Tokens of one prefill call")
        ->check(CLI::PositiveNumber);
    command
        ->add_option("--contexts", o->contexts, "Tokens before the timed ones, e.g. 1024,1048576")
        ->delimiter(',')
        ->check(CLI::NonNegativeNumber);
    command->add_option("--temperature", o->sampler.temperature, "As of generate; 0: greedy")
        ->check(CLI::NonNegativeNumber);
    command->add_option("--top-k", o->sampler.top_k, "As of generate");
    command->add_option("--top-p", o->sampler.top_p, "As of generate");
    command->add_flag("--host-sampling", o->host_sampling,
                      "Fetch the logits and choose on the host even where a GPU could");
    command->add_flag("--no-prefill", o->no_prefill,
                      "Reach the contexts by setting the position alone");
    on_run(command, [o] { return run_decode(*o); });
}

} // namespace tnl
