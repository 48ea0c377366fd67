// transnormer corpus filter: documents that are worth training on, by rules.
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/corpus_slurm.h"
#include "corpus/filter/filter_job.h"

#include "base/check.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>

namespace tnl {
namespace {
using namespace corpus;

struct FilterCommand {
    CorpusOptions corpus;
    std::string rules = "fineweb";
    std::vector<std::string> settings;
    FilterOptions options;
    bool show = false, json = false;
    SlurmCommand slurm;
};

double percent(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

void print_counts(const Json& counts) {
    const auto of = [](const Json& at, const char* name) { return at.value(name, uint64_t{0}); };
    const uint64_t documents = of(counts, "documents"), bytes = of(counts, "bytes");
    const auto line = [&](const std::string& name, uint64_t n, uint64_t size) {
        fmt::print("  {:<46}{:>12}{:>7.2f}%{:>14.2f} MB\n", name, n, percent(n, documents),
                   static_cast<double>(size) * 1e-6);
    };
    line("read", documents, bytes);
    for (const auto& [step, rules] : counts.at("dropped").items())
        for (const auto& [rule, count] : rules.items())
            line(fmt::format("- {}: {}", step, rule), of(count, "documents"), of(count, "bytes"));
    line("kept", of(counts, "kept_documents"), of(counts, "kept_bytes"));
    const uint64_t rewritten = of(counts, "rewritten");
    if (rewritten > 0) fmt::print("  {} of them with another text\n", rewritten);
    if (const uint64_t n = of(counts, "skipped")) fmt::print("  {} bad records skipped\n", n);
    if (const uint64_t n = of(counts, "replaced"))
        fmt::print("  {} invalid pieces of UTF-8 replaced\n", n);
    if (const uint64_t n = of(counts, "passed_over"))
        fmt::print("  {} WARC records that are no text passed over\n", n);
}

int run_filter_command(FilterCommand& c) {
    FilterRules rules = load_rules(c.rules);
    set_rules(rules, c.settings);
    const FilterPlan plan(rules, "--rules " + c.rules);
    if (c.show) {
        std::puts(plan.rules().json().c_str());
        return kOk;
    }
    if (c.corpus.inputs.empty()) throw UsageError("inputs is required");
    if (c.corpus.output.empty()) throw UsageError("--output is required");
    const DedupJob common = make_job(c.corpus);
    if (c.slurm.emit) {
        fmt::print("{}", c.slurm.script({{"filter", common.inputs.size()}}, c.corpus));
        return kOk;
    }
    FilterJob job;
    job.inputs = common.inputs;
    job.output = common.output;
    job.memory = common.memory;
    job.threads = common.threads;
    job.task = common.task;
    job.options = c.options;
    job.options.records = common.records;
    const bool live = isatty(STDERR_FILENO) && !c.json;
    std::atomic<int64_t> read = 0;
    const FilterReport report = run_filter(job, plan, [&](int64_t bytes) {
        const int64_t now = read += bytes;
        if (live) fmt::print(stderr, "\r{:.1f} MB of text ", static_cast<double>(now) * 1e-6);
    });
    if (live && read > 0) std::fputc('\n', stderr);
    const Workspace::Progress& p = report.progress;
    if (c.json) {
        const Json out = {{"inputs", p.units},         {"done_before", p.done_before},
                          {"done_here", p.done_here},  {"done_elsewhere", p.done_elsewhere},
                          {"seconds", report.seconds}, {"bytes_here", read.load()},
                          {"counts", report.counts}};
        fmt::print("{}\n", out.dump(2));
        return kOk;
    }
    fmt::print("{}: {} of {} inputs", job.output.string(), p.done_here, p.units);
    if (p.done_before > 0) fmt::print(", {} done before", p.done_before);
    if (p.done_elsewhere > 0) fmt::print(", {} by other tasks", p.done_elsewhere);
    fmt::print("; {:.2f} MB of text in {:.1f} s\n", static_cast<double>(read.load()) * 1e-6,
               report.seconds);
    if (!report.counts.empty()) print_counts(report.counts);
    return kOk;
}

} // namespace

void add_corpus_filter_command(CLI::App& group) {
    auto c = std::make_shared<FilterCommand>();
    CLI::App* command = group.add_subcommand("filter", "Drop documents by rules of quality, and "
                                                       "say why");
    add_corpus_options(*command, c->corpus);
    for (const char* name : {"inputs", "--output"}) command->get_option(name)->required(false);
    command->add_option(
        "--rules", c->rules,
        "fineweb, gopher, c4 or clean; or a .toml or .json file of rules; or a .yml file "
        "of FineWeb-2 with one language's thresholds");
    command
        ->add_option("--set", c->settings,
                     "A rule's value, as gopher_quality.min_doc_words=20; repeatable")
        ->allow_extra_args(false);
    command->add_flag("--show-rules", c->show, "Print all rules with their values, and do nothing");
    add_choice(*command, "--dropped", c->options.dropped,
               "What is written of dropped documents: reasons, or records with them");
    command->add_option("--level", c->options.level, "Of zstd, for what is written")
        ->check(CLI::Range(1, 19));
    add_slurm_options(*command, c->slurm);
    command->add_flag("--json", c->json, "Print the summary as JSON");
    command->footer(
        "Writes kept/NAME.jsonl.zst and dropped/NAME.jsonl.zst for every input, and "
        "stats.json when all are done. What\nis there already, made by the same rules of "
        "the same bytes, is not made again. More: docs/corpus.md.");
    on_run(command, [c] { return run_filter_command(*c); });
}

} // namespace tnl
