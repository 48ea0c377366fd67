#include "cli/corpus_options.h"

#include "base/check.h"
#include "base/threads.h"

#include <CLI/Validators.hpp>

namespace tnl {

void add_corpus_options(CLI::App& command, CorpusOptions& o) {
    command
        .add_option("inputs", o.inputs,
                    "Files of documents: .jsonl, .txt, .warc or .wet, plain, .gz or .zst; or "
                    ".parquet; wildcards are expanded")
        ->required();
    command.add_option("-o,--output", o.output, "Directory that receives everything")->required();
    command.add_option("--field", o.records.text_field, "Field of a JSONL record with its text");
    command.add_option("--id-field", o.records.id_field, "Field with its name");
    add_choice(command, "--bad-utf8", o.records.bad_utf8, "Documents with invalid UTF-8");
    add_choice(command, "--bad-record", o.records.bad_record,
               "Lines that are no JSON or have no text");
    command.add_option("--separator", o.records.chunks.separator,
                       "Line that ends a document in plain text; without it a file is one");
    command.add_option("--memory", o.memory, "Most bytes the process may take, as 4G")
        ->transform(CLI::AsSizeValue(false))
        ->default_str("4G");
    command.add_option("--threads", o.threads, "CPU threads; 0: one per core")
        ->check(CLI::NonNegativeNumber);
    command.add_option("--task", o.task,
                       "Of several tasks on one output directory, this one, from 0; default: as "
                       "Slurm, MPI or Kubernetes say");
    command.add_option("--world", o.world, "Number of tasks");
}

corpus::DedupJob make_job(const CorpusOptions& o) {
    constexpr uint64_t kLeast = uint64_t{256} << 20;
    if (o.memory < kLeast)
        throw UsageError(fmt::format("--memory is {} bytes, wanted at least 256M", o.memory));
    corpus::DedupJob job;
    job.inputs = corpus::find_inputs(o.inputs);
    job.output = o.output;
    job.records = o.records;
    job.memory = o.memory;
    job.threads = o.threads > 0 ? o.threads : available_cores();
    job.task = corpus::find_task(o.task, o.world);
    return job;
}

} // namespace tnl
