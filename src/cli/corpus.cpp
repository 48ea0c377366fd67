// transnormer corpus: from raw to training text.
#include "cli/commands.h"
#include "cli/corpus_commands.h"

namespace tnl {

void add_corpus_command(CLI::App& app) {
    CLI::App* group = app.add_subcommand("corpus", "Clean text: from raw documents to what is "
                                                   "trained on");
    group->require_subcommand(1);
    for (auto* add : {add_corpus_filter_command, add_corpus_dedup_command, add_corpus_score_command,
                      add_corpus_select_command, add_corpus_grade_command, add_corpus_mix_command,
                      add_corpus_report_command, add_corpus_run_command})
        if (add != nullptr) add(*group);
}

} // namespace tnl
