// transnormer corpus report: what the stages of a corpus did, as a page.
#include "cli/cli.h"
#include "cli/corpus_commands.h"
#include "corpus/report/report.h"

#include "base/check.h"
#include "base/file.h"

#include <CLI/Validators.hpp>

namespace tnl {
namespace {

struct ReportCommand {
    corpus::ReportOptions report;
    std::vector<std::string> stages;
    std::string output = "report.html";
    uint64_t memory = uint64_t{1} << 30;
    bool json = false;
};

int run_report(ReportCommand& c) {
    c.report.stages.assign(c.stages.begin(), c.stages.end());
    c.report.memory = c.memory;
    const Json data = report_data(c.report);
    if (c.json) {
        fmt::print("{}\n", data.dump(2, ' ', false, Json::error_handler_t::replace));
        return kOk;
    }
    const std::string page = corpus::report_page(data);
    write_file_atomic(c.output, page);
    fmt::print("{}: {} stages, {} kB\n", c.output, c.stages.size(), page.size() / 1000);
    return kOk;
}

} // namespace

void add_corpus_report_command(CLI::App& group) {
    auto c = std::make_shared<ReportCommand>();
    CLI::App* command = group.add_subcommand(
        "report", "What the stages did, as one page: rules, perplexities, groups, duplicates");
    command
        ->add_option("stages", c->stages,
                     "Output directories of filter, dedup, score and select, in order")
        ->required();
    command->add_option("-o,--output", c->output, "The page, an HTML file that needs no other");
    command->add_option("--title", c->report.title, "Its title");
    command
        ->add_option("--examples", c->report.examples,
                     "Clusters of near-duplicates to show; needs the files that dedup read")
        ->check(CLI::NonNegativeNumber);
    command->add_option("--memory", c->memory, "Most bytes for near-duplicates, as 1G")
        ->transform(CLI::AsSizeValue(false))
        ->default_str("1G");
    command->add_flag("--json", c->json, "Print what the page shows as JSON, and write no page");
    on_run(command, [c] { return run_report(*c); });
}

} // namespace tnl
