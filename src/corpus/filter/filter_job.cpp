#include "corpus/filter/filter_job.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/jobs/shared_file.h"
#include "corpus/jobs/unit_name.h"

#include <algorithm>
#include <chrono>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

// To be raised whenever the same rules give another answer.
constexpr int kVersion = 1;
constexpr size_t kProgramBytes = size_t{64} << 20; // program, libraries, tables
// A record is there as read, as parsed, rewritten, as words and their n-grams.
constexpr size_t kCopiesOfRecord = 24;

constexpr std::string_view kDropped = "dropped";

std::string parameters(const FilterPlan& plan, const FilterOptions& options) {
    const RecordOptions& records = options.records;
    const Json how = {{"version", kVersion},
                      {"rules", Json::parse(plan.rules().json())},
                      {"lists", plan.lists_hash()},
                      {"text", records.text_field},
                      {"id", records.id_field},
                      {"bad_utf8", static_cast<int>(records.bad_utf8)},
                      {"bad_record", static_cast<int>(records.bad_record)},
                      {"separator", records.chunks.separator},
                      {"dropped", static_cast<int>(options.dropped)},
                      {"level", options.level}};
    return how.dump();
}

Json counts_of(const FilterStats& stats) {
    Json out = {
        {"documents", stats.read.documents},      {"bytes", stats.read.bytes},
        {"kept_documents", stats.kept.documents}, {"kept_bytes", stats.kept_bytes},
        {"rewritten", stats.rewritten},           {"skipped", stats.records.skipped},
        {"replaced", stats.records.replaced},     {"passed_over", stats.records.passed_over}};
    for (const auto& [rule, count] : stats.dropped) {
        const std::string name = fmt::format("{}\t{}\t{}\t", kDropped, rule.first, rule.second);
        out[name + "documents"] = count.documents;
        out[name + "bytes"] = count.bytes;
    }
    return out;
}

// "dropped\tstep\trule\tdocuments": 3 becomes {"dropped": {"step": {"rule": {"documents": 3}}}}.
Json nested(const Json& counts) {
    Json out = Json::object(), dropped = Json::object();
    for (const auto& [name, value] : counts.items()) {
        if (!name.starts_with(kDropped)) {
            out[name] = value;
            continue;
        }
        const size_t step = name.find('\t') + 1, rule = name.find('\t', step) + 1,
                     what = name.find('\t', rule) + 1;
        dropped[name.substr(step, rule - step - 1)][name.substr(rule, what - rule - 1)]
               [name.substr(what)] = value;
    }
    out[std::string(kDropped)] = std::move(dropped);
    return out;
}

// The shares of a thread.
FilterOptions worker_options(const FilterJob& job, const FilterPlan& plan) {
    const size_t threads = static_cast<size_t>(std::max(job.threads, 1));
    const size_t least = 2 * kProgramBytes * (1 + threads / 4) + plan.bytes();
    if (job.memory < least)
        throw UsageError(fmt::format("--memory is {} MB, too little for {} threads and {} MB of "
                                     "lists and models; wanted {} MB or more",
                                     job.memory >> 20, threads, plan.bytes() >> 20,
                                     (least >> 20) + 1));
    const size_t memory = (job.memory - kProgramBytes - plan.bytes()) / threads;
    FilterOptions out = job.options;
    out.lexicon_bytes = std::min<size_t>(memory / 3, size_t{64} << 20);
    RecordOptions& records = out.records;
    records.chunks.max_record_bytes = memory / kCopiesOfRecord;
    return out;
}

} // namespace

FilterReport run_filter(const FilterJob& job, const FilterPlan& plan,
                        const std::function<void(int64_t)>& progress) {
    const FilterOptions options = worker_options(job, plan);
    const auto start = std::chrono::steady_clock::now();
    Workspace workspace(job.output);
    Stage stage{"rules", parameters(plan, options), "", {}};
    const size_t mine = share_of(job.inputs.size(), job.task).size();
    const int workers = std::min(job.threads, static_cast<int>(std::max<size_t>(mine, 1)));
    const int threads = std::max(1, job.threads / workers); // for each file
    for (const Input& input : job.inputs)
        stage.units.push_back(
            {unit_name("rules", input.name), {input.path}, [&, threads](UnitOutputs& outputs) {
                 const fs::path name = input.name + ".jsonl.zst", kept = outputs.add("kept" / name);
                 const fs::path dropped =
                     options.dropped == Dropped::none ? fs::path() : outputs.add("dropped" / name);
                 return counts_of(
                     filter_file(input.path, plan, options, threads, kept, dropped, progress));
             }});
    FilterReport report;
    report.progress = workspace.run(stage, workers, job.task, true);
    const Workspace::Progress& p = report.progress;
    if (p.done_before + p.done_here + p.done_elsewhere == p.units) {
        report.counts = nested(workspace.counts(stage));
        const Json stats = {{"rules", Json::parse(plan.rules().json())},
                            {"inputs", p.units},
                            {"counts", report.counts}};
        write_file_shared(job.output / "stats.json", stats.dump(2) + "\n");
    }
    report.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
}

} // namespace tnl::corpus
