// transnormer corpus score: what a model says of every document.
#include "cli/cli.h"
#include "cli/corpus_commands.h"
#include "cli/corpus_slurm.h"
#include "score/score_job.h"

#include "base/check.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <numbers>

namespace tnl {
namespace {
using namespace corpus;

struct ScoreCommand {
    CorpusOptions corpus;
    ScoreOptions score;
    std::string model, bos = "auto";
    double peak_tflops = 0;
    bool json = false;
    SlurmCommand slurm;
};

struct Rates {
    double tokens, megabytes, tflops; // a second
    std::optional<double> utilisation;
};
Rates rates_of(const ScoreReport& report, double peak_tflops) {
    const double seconds = std::max(report.seconds, 1e-9);
    Rates out{};
    out.tokens = static_cast<double>(report.here.tokens) / seconds;
    out.megabytes = static_cast<double>(report.here.bytes) / seconds * 1e-6;
    out.tflops = out.tokens * report.forward_flops * 1e-12;
    if (peak_tflops > 0) out.utilisation = out.tflops / peak_tflops;
    return out;
}

void print_json(const ScoreCommand& c, const ScoreReport& report) {
    const Workspace::Progress& p = report.progress;
    const Rates rates = rates_of(report, c.peak_tflops);
    Json out = {{"inputs", p.units},
                {"done_before", p.done_before},
                {"done_here", p.done_here},
                {"done_elsewhere", p.done_elsewhere},
                {"seconds", report.seconds},
                {"documents_here", report.here.documents},
                {"tokens_here", report.here.tokens},
                {"bytes_here", report.here.bytes},
                {"model_seconds", report.here.model_seconds},
                {"tokens_per_second", rates.tokens},
                {"megabytes_per_second", rates.megabytes},
                {"tflops", rates.tflops}};
    if (rates.utilisation) out["utilisation"] = *rates.utilisation;
    out["device"] = report.device;
    out["dtype"] = report.dtype;
    out["counts"] = report.counts;
    fmt::print("{}\n", out.dump(2));
}

void print_text(const ScoreCommand& c, const ScoreReport& report) {
    const Workspace::Progress& p = report.progress;
    fmt::print("{}: {} of {} inputs", (std::filesystem::path(c.corpus.output) / "scores").string(),
               p.done_here, p.units);
    if (p.done_before > 0) fmt::print(", {} done before", p.done_before);
    if (p.done_elsewhere > 0) fmt::print(", {} by other tasks", p.done_elsewhere);
    std::puts("");
    if (p.done_here > 0) {
        const Rates rates = rates_of(report, c.peak_tflops);
        fmt::print("  {} documents, {} tokens, {:.2f} MB in {:.1f} s, {:.0f} % of it in the "
                   "model\n",
                   report.here.documents, report.here.tokens,
                   static_cast<double>(report.here.bytes) * 1e-6, report.seconds,
                   100 * report.here.model_seconds / std::max(report.seconds, 1e-9));
        fmt::print("  {:.0f} tokens/s, {:.3f} MB/s, {:.3g} TFLOP/s", rates.tokens, rates.megabytes,
                   rates.tflops);
        if (rates.utilisation)
            fmt::print(", {:.1f} % of {} TFLOP/s", 100 * *rates.utilisation, c.peak_tflops);
        fmt::print(" ({}, {})\n", report.device, report.dtype);
    }
    if (report.counts.empty()) return;
    const auto count = [&](const char* name) { return report.counts.value(name, uint64_t{0}); };
    const double nats = static_cast<double>(count("micronats")) * 1e-6;
    const auto mean = [&](const char* name) {
        return nats / std::max(static_cast<double>(count(name)), 1.0);
    };
    fmt::print("  all {} documents: perplexity {:.4f} a token, {:.4f} bits a byte\n",
               count("documents"), std::exp(mean("tokens")), mean("bytes") / std::numbers::ln2);
    if (const uint64_t n = count("unscored"))
        fmt::print("  {} documents without a token to predict\n", n);
    if (const uint64_t n = count("skipped")) fmt::print("  {} bad records skipped\n", n);
}

int run_score(ScoreCommand& c) {
    const DedupJob job = make_job(c.corpus);
    if (c.slurm.emit) {
        fmt::print("{}", c.slurm.script({{"score", job.inputs.size()}}, c.corpus));
        return kOk;
    }
    c.score.model = c.model;
    if (c.bos != "auto") c.score.bos = c.bos == "yes";
    const bool live = isatty(STDERR_FILENO) && !c.json;
    bool shown = false;
    const ScoreReport report = run_scores(job, c.score, [&](const ScoreProgress& p) {
        if (!live) return;
        shown = true;
        fmt::print(stderr, "\r{} documents, {} tokens, {:.1f} MB ", p.documents, p.tokens,
                   static_cast<double>(p.bytes) * 1e-6);
    });
    if (shown) fmt::print(stderr, "\r\033[K");
    if (c.json)
        print_json(c, report);
    else
        print_text(c, report);
    return kOk;
}

} // namespace

void add_corpus_score_command(CLI::App& group) {
    auto c = std::make_shared<ScoreCommand>();
    CLI::App* command = group.add_subcommand(
        "score", "Perplexity of every document under a model, in one pass whatever its length");
    add_corpus_options(*command, c->corpus);
    command->get_option("--memory")
        ->description("Most bytes that records may take, beside the model, as 4G");
    command->add_option("--model", c->model, "Model directory, or checkpoint of a run")->required();
    command->add_option("--device", c->score.device, "cpu, cuda, cuda:N or auto");
    command->add_option("--dtype", c->score.dtype,
                        "f32, bf16, or auto: that of the stored weights");
    command->add_option("--chunk", c->score.chunk, "Tokens of one call; 0: 2048, on a GPU 32768")
        ->check(CLI::NonNegativeNumber);
    command
        ->add_option("--bos", c->bos,
                     "Begin documents with the bos token: yes, no, or auto: as config.json says. "
                     "Without it a document's first token is not predicted")
        ->check(CLI::IsMember({"auto", "yes", "no"}));
    command->add_flag("--eos", c->score.eos, "Predict the end of a document, too");
    for (const auto& [name, group_kind] : enum_names(Group{}))
        command->add_option(fmt::format("--{}-field", name),
                            c->score.group_fields[static_cast<size_t>(group_kind)],
                            fmt::format("Field with a document's {}, as metadata.{}", name, name));
    command
        ->add_option("--peak-tflops", c->peak_tflops,
                     "The device's peak, 1e12 operations/s, to print utilisation; 0: unknown")
        ->check(CLI::NonNegativeNumber);
    add_slurm_options(*command, c->slurm);
    command->add_flag("--json", c->json, "Print the summary as JSON");
    command->footer(
        "Writes scores/NAME.jsonl.zst for every input, a line a document in its order, and "
        "stats.json when all are\ndone; texts are not written again. What is there already, made "
        "by the same model of the same bytes, is not\nmade again. More: docs/corpus.md.");
    on_run(command, [c] { return run_score(*c); });
}

} // namespace tnl
