#include "corpus/dedup/job.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/io/record_reader.h"
#include "corpus/io/record_writer.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

// The program itself, its tables and libraries.
constexpr size_t kProgramBytes = size_t{64} << 20;

std::vector<uint32_t> read_removed(const fs::path& path) {
    std::error_code error;
    if (!fs::exists(path, error)) return {};
    const std::string bytes = read_file(path);
    std::vector<uint32_t> out(bytes.size() / sizeof(uint32_t));
    std::memcpy(out.data(), bytes.data(), out.size() * sizeof(uint32_t));
    if (bytes.size() % sizeof(uint32_t) != 0 || !std::is_sorted(out.begin(), out.end()))
        fail("{}: is no list of increasing 32-bit numbers; the file is damaged", path.string());
    return out;
}

Json filter_file(const DedupJob& job, size_t file, size_t units, UnitOutputs& outputs) {
    const Input& input = job.inputs[file];
    const std::vector<uint32_t> removed =
        read_removed(job.output / "remove" / fmt::format("{:06}.remove", file));
    RecordReader reader(input.path, job.worker_records(units));
    RecordWriter kept(outputs.add(fs::path("kept") / (input.name + ".jsonl.zst")));
    RecordWriter dropped(outputs.add(fs::path("dropped") / (input.name + ".jsonl.zst")));
    uint64_t documents = 0, bytes = 0, kept_documents = 0, kept_bytes = 0, empty = 0;
    size_t next = 0;
    std::string line;
    for (Record record; reader.next(record);) {
        if (record.text.empty()) {
            ++empty;
            continue;
        }
        const uint64_t document = documents++;
        bytes += record.text.size();
        if (next < removed.size() && removed[next] == document) {
            ++next;
            line = "{\"id\": ";
            append_json_string(line, record.id);
            line += fmt::format(", \"file\": {}, \"document\": {}, \"rule\": \"{}\"}}", file,
                                document, job.mode);
            dropped.add_line(line);
            continue;
        }
        ++kept_documents;
        kept_bytes += record.text.size();
        kept.add(record);
    }
    if (next != removed.size())
        fail("{}: has {} documents, but document {} of it is to be removed; the file has changed "
             "since, or another was given",
             input.path.string(), documents, removed[next]);
    kept.commit();
    dropped.commit();
    return {{"documents", documents},   {"bytes", bytes}, {"kept_documents", kept_documents},
            {"kept_bytes", kept_bytes}, {"empty", empty}, {"skipped", reader.counts().skipped}};
}

} // namespace

int DedupJob::workers(size_t units) const {
    return static_cast<int>(std::min(static_cast<size_t>(threads), std::max<size_t>(units, 1)));
}

size_t DedupJob::worker_memory(size_t units) const {
    TNL_CHECK(memory > 2 * kProgramBytes, "{} bytes of memory, wanted more than {}", memory,
              2 * kProgramBytes);
    return (memory - kProgramBytes) / static_cast<size_t>(workers(units));
}

std::string DedupJob::record_parameters() const {
    return fmt::format("text={} id={} bad_utf8={} bad_record={} separator={}", records.text_field,
                       records.id_field, static_cast<int>(records.bad_utf8),
                       static_cast<int>(records.bad_record), records.chunks.separator);
}

RecordOptions DedupJob::worker_records(size_t units) const {
    // A record is there several times: as read, as parsed, simplified, and as words.
    RecordOptions out = records;
    const size_t memory_of_one = worker_memory(units);
    out.chunks.chunk_bytes = std::min(out.chunks.chunk_bytes, memory_of_one / 32);
    out.chunks.max_record_bytes = memory_of_one / 12;
    return out;
}

std::vector<StageReport> run_stages(Workspace& workspace, const DedupJob& job,
                                    const std::vector<StageMaker>& stages,
                                    const std::function<void(const StageReport&)>& after_each) {
    std::vector<StageReport> reports;
    std::string after;
    for (size_t i = 0; i < stages.size(); ++i) {
        const Stage stage = stages[i].make(after);
        const bool all = job.stage == "all", last = i + 1 == stages.size();
        if (all || job.stage == stage.name) {
            const auto begin = std::chrono::steady_clock::now();
            StageReport report{stage.name, {}, {}, 0};
            // Later stages need all of this one. Of one stage alone each task may do its part: what
            // starts the next waits for all tasks.
            report.progress = workspace.run(stage, job.workers(stage.units.size()), job.task, all);
            report.seconds =
                std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
            const Workspace::Progress& p = report.progress;
            if (p.done_before + p.done_here + p.done_elsewhere == p.units)
                report.counts = workspace.counts(stage);
            after_each(report);
            reports.push_back(std::move(report));
            if (!all) return reports;
        } else {
            workspace.require(stage);
        }
        if (!last) after = workspace.digest(stage);
    }
    return reports;
}

Stage stage_of_files(const DedupJob& job, const std::string& name, std::string parameters,
                     const std::string& after,
                     const std::function<Json(size_t file, UnitOutputs& outputs)>& run) {
    Stage stage{name, std::move(parameters), after, {}};
    for (size_t file = 0; file < job.inputs.size(); ++file)
        stage.units.push_back({fmt::format("{}-{:06}", name, file),
                               {job.inputs[file].path},
                               [run, file](UnitOutputs& outputs) { return run(file, outputs); }});
    return stage;
}

Stage stage_of_parts(int parts, const std::string& name, std::string parameters,
                     const std::string& after,
                     const std::function<Json(int part, UnitOutputs& outputs)>& run) {
    Stage stage{name, std::move(parameters), after, {}};
    for (int part = 0; part < parts; ++part)
        stage.units.push_back({fmt::format("{}-{:02}", name, part),
                               {},
                               [run, part](UnitOutputs& outputs) { return run(part, outputs); }});
    return stage;
}

Stage filter_stage(const DedupJob& job, const std::string& after) {
    return stage_of_files(job, "filter", job.record_parameters() + " mode=" + job.mode, after,
                          [&job](size_t file, UnitOutputs& outputs) {
                              return filter_file(job, file, job.inputs.size(), outputs);
                          });
}

} // namespace tnl::corpus
