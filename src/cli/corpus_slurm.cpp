#include "cli/corpus_slurm.h"

#include <fmt/format.h>

#include <algorithm>

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
        const std::string job = fmt::format("{} --stage {} --threads {} --memory {}M", command,
                                            stage.name, options.threads, options.memory >> 20);
        out += fmt::format("\n# {}: {} pieces of work\n"
                           "after=$(sbatch --parsable --job-name={} --array=0-{} "
                           "--cpus-per-task={} --mem={}M \\\n"
                           "    --requeue ${{after:+--dependency=afterok:$after}} "
                           "--kill-on-invalid-dep=yes \"$@\" --wrap={})\n"
                           "echo \"{}: job $after\"\n",
                           stage.name, stage.pieces, "dedup-" + stage.name, tasks - 1,
                           options.threads, megabytes, in_apostrophes(job), stage.name);
    }
    return out;
}

} // namespace tnl
