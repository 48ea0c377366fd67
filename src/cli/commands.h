// Every command of the program. Each lives in src/cli/<name>.cpp: adds its options to a subcommand
// of `app` and says with on_run (cli.h) what to do.
#pragma once

#include "cli/cli.h"

namespace tnl {

[[gnu::weak]] void add_train_command(CLI::App& app);
[[gnu::weak]] void add_generate_command(CLI::App& app);
[[gnu::weak]] void add_eval_command(CLI::App& app);
[[gnu::weak]] void add_tokenizer_command(CLI::App& app);
[[gnu::weak]] void add_tokenizer_report_command(CLI::App& group);
[[gnu::weak]] void add_tokenize_command(CLI::App& app);
[[gnu::weak]] void add_corpus_command(CLI::App& app);
[[gnu::weak]] void add_corpus_filter_command(CLI::App& group);
[[gnu::weak]] void add_corpus_dedup_command(CLI::App& group);
[[gnu::weak]] void add_verify_command(CLI::App& app);
[[gnu::weak]] void add_inspect_command(CLI::App& app);
[[gnu::weak]] void add_import_command(CLI::App& app);
[[gnu::weak]] void add_export_command(CLI::App& app);
[[gnu::weak]] void add_quantize_command(CLI::App& app);
[[gnu::weak]] void add_plot_command(CLI::App& app);
[[gnu::weak]] void add_serve_command(CLI::App& app);
[[gnu::weak]] void add_bench_command(CLI::App& app);
[[gnu::weak]] void add_completion_command(CLI::App& app);

} // namespace tnl
