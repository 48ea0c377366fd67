// transnormer corpus select: documents whose scores lie between thresholds.
#include "cli/cli.h"
#include "cli/corpus_commands.h"
#include "cli/corpus_options.h"
#include "corpus/select/select_job.h"

#include "base/check.h"

#include <cstdio>

namespace tnl {
namespace {
using namespace corpus;

struct SelectCommand {
    CorpusOptions corpus;
    SelectOptions select;
    std::string scores, thresholds;
    std::vector<std::string> per;
    std::optional<double> keep;
    bool json = false;
};

void check(SelectCommand& c, const CLI::App& command) {
    QuantileOptions& q = c.select.quantiles;
    if (c.keep) {
        if (command.count("--high") > 0)
            throw UsageError("--keep and --high both say where the upper bound is, wanted one");
        if (q.low + *c.keep > 1 + 1e-9)
            throw UsageError(fmt::format("--low {} and --keep {} are more than 1 together, wanted "
                                         "--keep of at most {}",
                                         q.low, *c.keep, 1 - q.low));
        q.high = std::min(1.0, q.low + *c.keep);
    }
    if (q.low >= q.high)
        throw UsageError(fmt::format("--low {} with --high {} keeps nothing, wanted a lower --low",
                                     q.low, q.high));
    if (q.min && q.max && *q.min > *q.max)
        throw UsageError(fmt::format("--min {} is above --max {}", *q.min, *q.max));
    if (!c.thresholds.empty())
        for (const char* name :
             {"--low", "--high", "--keep", "--min", "--max", "--by", "--per", "--least-documents"})
            if (command.count(name) > 0)
                throw UsageError(fmt::format("{} with --thresholds, whose file says it", name));
    for (const std::string& name : c.per)
        for (const auto& [known, group] : enum_names(Group{})) {
            if (known != name) continue;
            if (std::find(q.per.begin(), q.per.end(), group) != q.per.end())
                throw UsageError(fmt::format("--per names {} twice", name));
            q.per.push_back(group);
        }
    std::sort(q.per.begin(), q.per.end());
}

std::string bound(const Json& value) {
    return value.is_null() ? "-" : fmt::format("{:.5g}", value.get<double>());
}

void print_report(const SelectCommand& c, const SelectReport& report) {
    const auto of = [](const Json& at, const char* name) { return at.value(name, uint64_t{0}); };
    const uint64_t documents = of(report.counts, "documents");
    const auto line = [&](const std::string& name, uint64_t n, uint64_t bytes) {
        fmt::print("  {:<30}{:>12}{:>7.2f}%{:>14.2f} MB\n", name, n,
                   documents == 0 ? 0.0
                                  : 100.0 * static_cast<double>(n) / static_cast<double>(documents),
                   static_cast<double>(bytes) * 1e-6);
    };
    line("read", documents, of(report.counts, "bytes"));
    if (report.counts.contains("dropped"))
        for (const auto& [step, rules] : report.counts["dropped"].items())
            for (const auto& [rule, count] : rules.items())
                line("- " + rule, of(count, "documents"), of(count, "bytes"));
    line("kept", of(report.counts, "kept_documents"), of(report.counts, "kept_bytes"));
    const Json& t = report.thresholds;
    fmt::print("  {} of all: {} to {}\n", t["by"].get<std::string>(), bound(t["all"]["low"]),
               bound(t["all"]["high"]));
    constexpr size_t kShown = 20;
    for (size_t i = 0; const Json& group : t["groups"]) {
        if (i++ == kShown) {
            fmt::print("  ... {} more in {}\n", t["groups"].size() - kShown,
                       (std::filesystem::path(c.corpus.output) / "thresholds.json").string());
            break;
        }
        std::string name;
        for (const Json& per : t["per"]) {
            const auto part = group[per.get<std::string>()].get<std::string>();
            name += (name.empty() ? "" : ", ") + (part.empty() ? "(none)" : part);
        }
        fmt::print("  {:<30}{:>12}  {} to {}\n", name, group["documents"].get<int64_t>(),
                   bound(group["low"]), bound(group["high"]));
    }
}

int run_select_command(SelectCommand& c, const CLI::App& command) {
    check(c, command);
    c.select.scores = c.scores;
    c.select.thresholds = c.thresholds;
    const SelectReport report = run_select(make_job(c.corpus), c.select);
    if (c.json) {
        const Json out = {{"counts", report.counts}, {"thresholds", report.thresholds}};
        fmt::print("{}\n", out.dump(2));
        return kOk;
    }
    const Workspace::Progress& p = report.stages.back().progress;
    fmt::print("{}: {} of {} inputs", c.corpus.output, p.done_here, p.units);
    if (p.done_before > 0) fmt::print(", {} done before", p.done_before);
    if (p.done_elsewhere > 0) fmt::print(", {} by other tasks", p.done_elsewhere);
    std::puts("");
    if (!report.counts.empty()) print_report(c, report);
    return kOk;
}

} // namespace

void add_corpus_select_command(CLI::App& group) {
    auto c = std::make_shared<SelectCommand>();
    CLI::App* command =
        group.add_subcommand("select", "Keep documents whose perplexity lies between thresholds");
    add_corpus_options(*command, c->corpus);
    QuantileOptions& q = c->select.quantiles;
    command->add_option("--scores", c->scores, "What corpus score wrote of the same inputs")
        ->required();
    add_choice(*command, "--by", q.by, "What is compared");
    command->add_option("--low", q.low, "Share of the documents with the lowest values to drop")
        ->check(CLI::Range(0.0, 1.0));
    command
        ->add_option("--high", q.high, "Share of the documents with the lowest values not to drop")
        ->check(CLI::Range(0.0, 1.0));
    command
        ->add_option("--keep", c->keep,
                     "Share of the documents to keep, from --low on; instead of --high")
        ->check(CLI::Range(0.0, 1.0));
    command->add_option("--min", q.min, "Least value, whatever the shares say");
    command->add_option("--max", q.max, "Largest value, likewise");
    std::vector<std::string> names;
    for (const auto& [name, each] : enum_names(Group{})) names.emplace_back(name);
    command
        ->add_option("--per", c->per,
                     "Shares and thresholds of each source, category or language (as score read "
                     "them), or of their combinations: names, parted by commas")
        ->delimiter(',')
        ->check(CLI::IsMember(names));
    command
        ->add_option("--least-documents", q.least_documents,
                     "Groups with fewer documents take the thresholds of all")
        ->check(CLI::PositiveNumber);
    command
        ->add_option("--min-tokens", c->select.min_tokens,
                     "Documents of which fewer tokens were predicted go")
        ->check(CLI::NonNegativeNumber);
    command->add_option("--thresholds", c->thresholds,
                        "File of thresholds, as thresholds.json of an earlier output, or grade's");
    add_choice(*command, "--dropped", c->select.dropped,
               "What is written of dropped documents: reasons, or records with them");
    command->add_option("--level", c->select.level, "Of zstd, for what is written")
        ->check(CLI::Range(1, 19));
    command->add_flag("--json", c->json, "Print the summary as JSON");
    command->footer(
        "Writes thresholds.json, kept/NAME.jsonl.zst and dropped/NAME.jsonl.zst for every input, "
        "and stats.json when\nall are done. Of n documents --low L drops the first L n by value, "
        "--high H what is behind the first H n;\nequal values stay or go together. More: "
        "docs/corpus.md.");
    on_run(command, [c, command] { return run_select_command(*c, *command); });
}

} // namespace tnl
