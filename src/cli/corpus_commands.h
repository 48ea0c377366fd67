// The commands of the group corpus that turn on a model: each lives in src/cli/corpus_<name>.cpp.
#pragma once

#include "cli/cli.h"

namespace tnl {

[[gnu::weak]] void add_corpus_score_command(CLI::App& group);
[[gnu::weak]] void add_corpus_select_command(CLI::App& group);
[[gnu::weak]] void add_corpus_grade_command(CLI::App& group);
[[gnu::weak]] void add_corpus_mix_command(CLI::App& group);
[[gnu::weak]] void add_corpus_report_command(CLI::App& group);
[[gnu::weak]] void add_corpus_run_command(CLI::App& group);

} // namespace tnl
