#include "cli/corpus_slurm.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace tnl {
namespace {

// For the shell, in single quotes unless there is nothing to quote.
std::string in_apostrophes(const std::string& text) {
    const bool plain = !text.empty() &&
                       text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                              "0123456789_-+=./:,@%") == std::string::npos;
    if (plain) return text;
    std::string out = "'";
    for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

// The program and what was given to the command, but for what the script says itself.
std::vector<std::string> written_options(const CLI::App& command) {
    std::error_code error;
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
    std::vector<std::string> out = {error ? "transnormer" : self.string(), "corpus",
                                    command.get_name()};
    for (const CLI::Option* option : command.get_options()) {
        const std::string name = option->get_name();
        const bool own = name.starts_with("--slurm") || name == "--emit-slurm" ||
                         name == "--stage" || name == "--threads" || name == "--memory" ||
                         name == "--task" || name == "--world";
        if (own || option->count() == 0) continue;
        const bool flag = option->get_items_expected_max() == 0;
        if (flag) out.push_back(name);
        for (const std::string& value : flag ? std::vector<std::string>{} : option->results()) {
            if (name.starts_with("-")) out.push_back(name);
            out.push_back(value);
        }
    }
    return out;
}

} // namespace

std::string slurm_script(const std::vector<SlurmStage>& stages, const SlurmOptions& options) {
    std::string command;
    for (const std::string& word : options.command)
        command += (command.empty() ? "" : " ") + in_apostrophes(word);
    // Some memory beyond what the program keeps to, for the system's own accounting.
    const uint64_t megabytes = (options.memory + options.memory / 8) >> 20;
    std::string out = "#!/bin/sh\n"
                      "# Submits one array of tasks a stage, each after the one before. Further\n"
                      "# options of sbatch (--partition=..., --time=...) are passed on.\n"
                      "set -eu\n"
                      "after=\n";
    for (const SlurmStage& stage : stages) {
        const size_t tasks =
            std::max<size_t>(1, std::min({stage.pieces, static_cast<size_t>(options.tasks),
                                          static_cast<size_t>(options.array_limit)}));
        const std::string job = fmt::format("{}{} --threads {} --memory {}M", command,
                                            stage.named ? " --stage " + stage.name : "",
                                            options.threads, options.memory >> 20);
        out += fmt::format("\n# {}: {} pieces of work\n"
                           "after=$(sbatch --parsable --job-name={} --array=0-{} "
                           "--cpus-per-task={} --mem={}M \\\n"
                           "    --requeue ${{after:+--dependency=afterok:$after}} "
                           "--kill-on-invalid-dep=yes \"$@\" --wrap={})\n"
                           "echo \"{}: job $after\"\n",
                           stage.name, stage.pieces, options.prefix + stage.name, tasks - 1,
                           options.threads, megabytes, in_apostrophes(job), stage.name);
    }
    return out;
}

std::string SlurmCommand::script(const std::vector<SlurmStage>& stages,
                                 const CorpusOptions& corpus) const {
    SlurmOptions all = options;
    all.threads = std::max(1, corpus.threads);
    all.memory = corpus.memory;
    all.prefix = stages.size() > 1 ? name + "-" : "";
    all.command = written();
    return slurm_script(stages, all);
}

void add_slurm_options(CLI::App& command, SlurmCommand& slurm) {
    slurm.name = command.get_name();
    slurm.written = [&command] { return written_options(command); };
    command.add_flag("--emit-slurm", slurm.emit,
                     "Print a script that runs this on a cluster, and do nothing");
    command.add_option("--slurm-tasks", slurm.options.tasks, "Most tasks of an array")
        ->check(CLI::PositiveNumber);
    command
        .add_option("--slurm-array-limit", slurm.options.array_limit, "The cluster's MaxArraySize")
        ->check(CLI::PositiveNumber);
}

} // namespace tnl
