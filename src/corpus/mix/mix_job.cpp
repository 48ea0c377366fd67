#include "corpus/mix/mix_job.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/io/record_reader.h"
#include "corpus/io/record_writer.h"
#include "corpus/jobs/file_hash.h"
#include "corpus/jobs/nested_counts.h"
#include "corpus/jobs/shared_file.h"
#include "corpus/mix/scatter.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <tuple>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostGroups = 10000;
const std::string kDirectory = "directory";

// Records with their groups.
class GroupReader {
  public:
    GroupReader(const DedupJob& job, const MixOptions& options, size_t file)
        : of_directory_(options.by == kDirectory),
          directory_(fs::path(job.inputs[file].name).parent_path().string()),
          reader_(job.inputs[file].path, records(job, options)) {}
    bool next(Record& record) { return reader_.next(record); }
    std::string group(const Record& record) const {
        const std::string& name = of_directory_ ? directory_ : record.fields[0];
        return name.empty() ? "(none)" : count_part(name);
    }

  private:
    static RecordOptions records(const DedupJob& job, const MixOptions& options) {
        RecordOptions out = job.worker_records(job.inputs.size());
        out.fields = {options.by};
        return out;
    }
    bool of_directory_;
    std::string directory_;
    RecordReader reader_;
};

Json count_file(const DedupJob& job, const MixOptions& options, size_t file) {
    GroupReader reader(job, options, file);
    std::map<std::string, GroupSize> sizes;
    for (Record record; reader.next(record);) {
        const std::string group = reader.group(record);
        if (!sizes.contains(group) && sizes.size() == kMostGroups)
            fail("{}: field '{}' has more than {} values, wanted names of groups",
                 job.inputs[file].path.string(), options.by, kMostGroups);
        GroupSize& size = sizes[group];
        ++size.documents;
        size.bytes += record.text.size();
        if (options.tokenizer != nullptr)
            size.tokens += options.tokenizer->encode(record.text).size() + 1; // the end, too
    }
    Json counts = Json::object();
    for (const auto& [name, size] : sizes) {
        counts[name + "\tdocuments"] = size.documents;
        counts[name + "\tbytes"] = size.bytes;
        counts[name + "\ttokens"] = size.tokens;
    }
    return counts;
}

struct Plan {
    std::map<std::string, GroupSize> sizes;
    std::map<std::string, double> epochs;
    uint64_t parts = 1;
};

Plan make_plan(const Json& counts, const MixOptions& options) {
    Plan out;
    for (const auto& [name, of] : counts.items())
        out.sizes[name] = {of.at("documents"), of.at("bytes"), of.at("tokens")};
    out.epochs = plan_mix(out.sizes, options.weights);
    double bytes = 0;
    for (const auto& [name, size] : out.sizes)
        bytes += out.epochs.at(name) * static_cast<double>(size.bytes);
    out.parts = std::max<uint64_t>(
        1, static_cast<uint64_t>(std::ceil(bytes / static_cast<double>(options.part_bytes))));
    return out;
}

fs::path scattered(size_t file, const char* what) {
    return fs::path("scattered") / fmt::format("{:06}.{}", file, what);
}

Json scatter_file(const DedupJob& job, const MixOptions& options, const Plan& plan, size_t file,
                  UnitOutputs& outputs) {
    GroupReader reader(job, options, file);
    ScatterWriter writer(outputs.add(scattered(file, "data")),
                         outputs.add(scattered(file, "index")), plan.parts,
                         job.worker_memory(job.inputs.size()) / 4);
    std::map<std::string, GroupSize> mixed;
    std::string line;
    for (Record record; reader.next(record);) {
        const std::string group = reader.group(record);
        const auto index = static_cast<uint64_t>(record.index);
        const int64_t copies = copies_of(plan.epochs.at(group), options.seed, file, index);
        if (copies == 0) continue;
        GroupSize& size = mixed[group];
        size.documents += static_cast<uint64_t>(copies);
        size.bytes += static_cast<uint64_t>(copies) * record.text.size();
        line.clear();
        record.append_json(line);
        line.pop_back();
        for (uint64_t copy = 0; copy < static_cast<uint64_t>(copies); ++copy)
            writer.add(key_of(options.seed, file, index, copy), index, copy, line);
    }
    writer.commit();
    Json counts = Json::object();
    for (const auto& [name, size] : mixed) {
        counts[name + "\tdocuments"] = size.documents;
        counts[name + "\tbytes"] = size.bytes;
    }
    return counts;
}

std::vector<ScatterReader> open_scattered(const DedupJob& job, const Plan& plan) {
    std::vector<ScatterReader> out;
    for (size_t file = 0; file < job.inputs.size(); ++file)
        out.emplace_back(job.output / scattered(file, "data"),
                         job.output / scattered(file, "index"), plan.parts);
    return out;
}

Json mix_part(const std::vector<ScatterReader>& files, uint64_t part, const MixOptions& options,
              const fs::path& output) {
    std::vector<ScatteredLine> lines;
    std::string bytes; // what the system maps may go; sorted reads would fetch it again
    size_t size = 0;
    for (const ScatterReader& file : files) size += file.part_bytes(part);
    bytes.reserve(size);
    for (size_t file = 0; file < files.size(); ++file)
        files[file].read(part, [&](ScatteredLine line) {
            line.file = file;
            const size_t begin = bytes.size();
            bytes += line.line;
            line.line = std::string_view(bytes).substr(begin, line.line.size());
            lines.push_back(line);
        });
    std::sort(lines.begin(), lines.end(), [](const ScatteredLine& a, const ScatteredLine& b) {
        return std::tie(a.key, a.file, a.index, a.copy) < std::tie(b.key, b.file, b.index, b.copy);
    });
    RecordWriter writer(output, options.level);
    for (const ScatteredLine& line : lines) writer.add_line(line.line);
    writer.commit();
    return {{"documents", lines.size()}};
}

// Parts that fit into memory together.
int part_workers(const DedupJob& job, const MixOptions& options,
                 const std::vector<ScatterReader>& files, uint64_t parts) {
    size_t largest = 1;
    for (uint64_t part = 0; part < parts; ++part) {
        size_t size = 0;
        for (const ScatterReader& file : files) size += file.part_bytes(part);
        largest = std::max(largest, size);
    }
    // Lines of 24 bytes of header and more become ScatteredLine, which are larger.
    const size_t needed = 2 * largest + (size_t{32} << 20);
    if (needed > job.memory)
        throw UsageError(fmt::format("a part has {} MB, --memory is {} MB; wanted a --part-bytes "
                                     "below its {} MB, or {} MB of memory",
                                     largest >> 20, job.memory >> 20, options.part_bytes >> 20,
                                     needed >> 20));
    return std::clamp(static_cast<int>(job.memory / needed), 1, job.threads);
}

Json options_json(const MixOptions& options, const Plan& plan) {
    return {{"by", options.by},
            {"seed", options.seed},
            {"part_bytes", options.part_bytes},
            {"parts", plan.parts},
            {"epochs", plan.epochs}};
}

Json group_list(const Plan& plan, const Json& mixed) {
    Json out = Json::array();
    for (const auto& [name, size] : plan.sizes) {
        const Json of = mixed.value(name, Json::object());
        out.push_back({{"name", name},
                       {"documents", size.documents},
                       {"bytes", size.bytes},
                       {"tokens", size.tokens},
                       {"epochs", plan.epochs.at(name)},
                       {"mixed_documents", of.value("documents", uint64_t{0})},
                       {"mixed_bytes", of.value("bytes", uint64_t{0})}});
    }
    return out;
}

class Mixing {
  public:
    Mixing(const DedupJob& job, const MixOptions& options,
           const std::function<void(const StageReport&)>& after_each)
        : job_(job), options_(options), after_each_(after_each), workspace_(job.output) {}

    MixReport run() {
        const Stage count = count_stage();
        run_stage(count, job_.workers(count.units.size()), true);
        plan_ = make_plan(nested_counts(workspace_.counts(count)), options_);
        const Stage scatter = scatter_stage(inputs_digest(count)), mix = mix_stage(scatter.after);
        if (!all_done(mix)) {
            run_stage(scatter, job_.workers(scatter.units.size()), true);
            files_ = open_scattered(job_, plan_);
            run_stage(mix, part_workers(job_, options_, files_, plan_.parts), true);
            files_.clear();
        }
        if (all_done(mix)) finish(scatter, mix);
        return std::move(report_);
    }

  private:
    void run_stage(const Stage& stage, int workers, bool wait) {
        const auto begin = std::chrono::steady_clock::now();
        StageReport report{stage.name, {}, {}, 0};
        report.progress = workspace_.run(stage, workers, job_.task, wait);
        report.seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        if (after_each_) after_each_(report);
        report_.stages.push_back(std::move(report));
    }
    bool all_done(const Stage& stage) const {
        return std::all_of(stage.units.begin(), stage.units.end(),
                           [&](const Unit& unit) { return workspace_.done(stage, unit); });
    }
    Stage count_stage() const {
        Json how = {{"records", job_.record_parameters()}, {"by", options_.by}};
        if (options_.tokenizer != nullptr) how["tokenizer"] = options_.tokenizer->hash();
        Stage out{"count", how.dump(), "", {}};
        for (size_t file = 0; file < job_.inputs.size(); ++file)
            out.units.push_back(
                {fmt::format("count-{:06}", file),
                 {job_.inputs[file].path},
                 [this, file](UnitOutputs&) { return count_file(job_, options_, file); }});
        return out;
    }
    // What the inputs are, as the stage before found them: later ones need not read them for that.
    std::string inputs_digest(const Stage& count) const {
        std::string all;
        for (const Unit& unit : count.units) {
            const fs::path path = job_.output / "manifest" / (unit.name + ".json");
            for (const Json& input : parse_json_file(path).at("inputs"))
                all += input.at("path").get<std::string>() + "\n" +
                       input.at("xxh3").get<std::string>() + "\n";
        }
        return hash_text(all);
    }
    Stage scatter_stage(const std::string& after) const {
        Stage out{"scatter", parameters(), after, {}};
        for (size_t file = 0; file < job_.inputs.size(); ++file)
            out.units.push_back(
                {fmt::format("scatter-{:06}", file), {}, [this, file](UnitOutputs& outputs) {
                     return scatter_file(job_, options_, plan_, file, outputs);
                 }});
        return out;
    }
    Stage mix_stage(const std::string& after) const {
        Stage out{"mix", parameters() + fmt::format(" level={}", options_.level), after, {}};
        for (uint64_t part = 0; part < plan_.parts; ++part)
            out.units.push_back(
                {fmt::format("mix-{:05}", part), {}, [this, part](UnitOutputs& outputs) {
                     return mix_part(files_, part, options_, outputs.add(part_name(part)));
                 }});
        return out;
    }
    static fs::path part_name(uint64_t part) {
        return fs::path("mixed") / fmt::format("part-{:05}.jsonl.zst", part);
    }
    std::string parameters() const {
        const Json how = {{"records", job_.record_parameters()},
                          {"how", options_json(options_, plan_)}};
        return how.dump();
    }
    void finish(const Stage& scatter, const Stage& mix) {
        for (uint64_t part = 0; part < plan_.parts; ++part)
            report_.parts.push_back(job_.output / part_name(part));
        report_.groups = group_list(plan_, nested_counts(workspace_.counts(scatter)));
        report_.digest = workspace_.digest(mix);
        remove_earlier_parts();
        const Json stats = {{"stage", "mix"},
                            {"options", options_json(options_, plan_)},
                            {"inputs", job_.inputs.size()},
                            {"groups", report_.groups},
                            {"counts", Json::object()}};
        write_file_shared(job_.output / "stats.json", stats.dump(2) + "\n");
        if (job_.task.world > 1) return; // others may be at work yet
        std::error_code ignored;
        fs::remove_all(job_.output / "scattered", ignored);
    }
    // Of a run with more parts.
    void remove_earlier_parts() const {
        for (uint64_t part = plan_.parts; fs::remove(job_.output / part_name(part)); ++part) {
        }
    }

    const DedupJob& job_;
    const MixOptions& options_;
    const std::function<void(const StageReport&)>& after_each_;
    Workspace workspace_;
    Plan plan_;
    std::vector<ScatterReader> files_;
    MixReport report_;
};

} // namespace

MixReport run_mix(const DedupJob& job, const MixOptions& options,
                  const std::function<void(const StageReport&)>& after_each) {
    return Mixing(job, options, after_each).run();
}

} // namespace tnl::corpus
