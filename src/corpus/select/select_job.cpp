#include "corpus/select/select_job.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/io/record_writer.h"
#include "corpus/jobs/file_hash.h"
#include "corpus/jobs/nested_counts.h"
#include "corpus/jobs/shared_file.h"
#include "corpus/jobs/unit_name.h"
#include "corpus/scores/score_tally.h"

#include <algorithm>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

constexpr const char* kStep = "select";

// Scores beside the records they are of.
class ScoredReader {
  public:
    ScoredReader(const fs::path& records, const RecordOptions& options, const fs::path& scores)
        : records_path_(records.string()), scores_path_(scores.string()),
          records_(records, options), scores_(scores) {}
    bool next(Record& record, DocumentScore& score) {
        const bool any = records_.next(record), scored = scores_.next(score);
        if (any != scored)
            fail("{}: has {} documents than {}; wanted the scores of this file, by the same "
                 "--bad-record, --bad-utf8 and --separator",
                 scores_path_, any ? "fewer" : "more", records_path_);
        if (any && (score.index != record.index || score.id != record.id))
            fail("{}: says document {} is '{}' where {} has document {}, '{}'; wanted the scores "
                 "of this file",
                 scores_path_, score.index, score.id, records_path_, record.index, record.id);
        return any;
    }
    int64_t skipped() const { return records_.counts().skipped; }

  private:
    std::string records_path_, scores_path_;
    RecordReader records_;
    ScoreReader scores_;
};

Verdict judge(const DocumentScore& score, const Thresholds& thresholds, int64_t min_tokens) {
    if (score.tokens < min_tokens)
        return Verdict::dropped("tokens", static_cast<double>(score.tokens),
                                static_cast<double>(min_tokens));
    const std::optional<double>& value = score.value(thresholds.by);
    const Bounds& bounds = thresholds.of(score.groups);
    const std::string name(name_of(thresholds.by));
    if (!value) return bounds.low || bounds.high ? Verdict::dropped(name, 0, 0) : Verdict::kept();
    if (bounds.low && *value < *bounds.low)
        return Verdict::dropped(name + "_low", *value, *bounds.low);
    if (bounds.high && *value > *bounds.high)
        return Verdict::dropped(name + "_high", *value, *bounds.high);
    return Verdict::kept();
}

Json select_file(const DedupJob& job, const SelectOptions& options, const Input& input,
                 UnitOutputs& outputs) {
    const Thresholds thresholds = Thresholds::load(job.output / "thresholds.json");
    ScoredReader reader(input.path, job.worker_records(job.inputs.size()),
                        score_file(options.scores, input.name));
    const fs::path name = input.name + ".jsonl.zst";
    RecordWriter kept(outputs.add("kept" / name), options.level);
    std::optional<RecordWriter> dropped;
    if (options.dropped != Dropped::none)
        dropped.emplace(outputs.add("dropped" / name), options.level);
    ScoreTally before, after;
    struct Count {
        int64_t documents = 0, bytes = 0;
    };
    std::map<std::string, Count> rules;
    Count all, stayed;
    const auto count = [](Count& to, const Record& record) {
        ++to.documents;
        to.bytes += std::ssize(record.text);
    };
    std::string line;
    Record record;
    for (DocumentScore score; reader.next(record, score);) {
        count(all, record);
        before.add(score);
        const Verdict verdict = judge(score, thresholds, options.min_tokens);
        if (verdict.keep) {
            count(stayed, record);
            after.add(score);
            kept.add(record);
            continue;
        }
        count(rules[verdict.rule], record);
        if (!dropped) continue;
        line.clear();
        append_dropped(line, record, kStep, verdict, options.dropped);
        line.pop_back(); // add_line ends it
        dropped->add_line(line);
    }
    if (dropped) dropped->commit();
    kept.commit();
    Json counts = {{"documents", all.documents},
                   {"bytes", all.bytes},
                   {"kept_documents", stayed.documents},
                   {"kept_bytes", stayed.bytes},
                   {"skipped", reader.skipped()}};
    for (const auto& [rule, of] : rules) {
        counts[fmt::format("dropped\t{}\t{}\tdocuments", kStep, rule)] = of.documents;
        counts[fmt::format("dropped\t{}\t{}\tbytes", kStep, rule)] = of.bytes;
    }
    before.add_to(counts, "before\t");
    after.add_to(counts, "after\t");
    return counts;
}

// All sidecars, one after the other.
Json write_thresholds(const DedupJob& job, const SelectOptions& options, UnitOutputs& outputs) {
    const fs::path path = outputs.add("thresholds.json");
    Thresholds found;
    if (!options.thresholds.empty()) {
        found = Thresholds::load(options.thresholds);
    } else {
        QuantileOptions quantiles = options.quantiles;
        quantiles.memory = job.memory / 2;
        quantiles.scratch = outputs.scratch();
        std::optional<ScoreReader> reader;
        size_t at = 0;
        found = find_thresholds(quantiles, [&](DocumentScore& score) {
            for (;;) {
                if (reader && reader->next(score)) return true;
                if (at == job.inputs.size()) return false;
                reader.emplace(score_file(options.scores, job.inputs[at++].name));
            }
        });
    }
    write_file_shared(path, found.json().dump(2) + "\n");
    return Json::object();
}

// Who made the scores; they must be there, all of them.
Json scores_made_by(const DedupJob& job, const SelectOptions& options) {
    const fs::path stats = options.scores / "stats.json";
    if (!fs::exists(stats))
        fail("{}: is not there; wanted a directory that corpus score has finished", stats.string());
    const Json json = parse_json_file(stats);
    for (const Input& input : job.inputs)
        if (const fs::path path = score_file(options.scores, input.name); !fs::exists(path))
            fail("{}: is not there; wanted the scores of {}", path.string(), input.path.string());
    return JsonFields(json, stats.string()).at("made_by");
}

Json options_json(const SelectOptions& options) {
    const QuantileOptions& q = options.quantiles;
    const auto or_null = [](const std::optional<double>& v) {
        return v ? Json(*v) : Json(nullptr);
    };
    Json per = Json::array();
    for (const Group group : q.per) per.push_back(name_of(group));
    Json out = {{"by", name_of(q.by)},
                {"per", per},
                {"low", q.low},
                {"high", q.high},
                {"min", or_null(q.min)},
                {"max", or_null(q.max)},
                {"least", q.least_documents},
                {"min_tokens", options.min_tokens}};
    if (!options.thresholds.empty()) out = {{"min_tokens", options.min_tokens}};
    return out;
}

} // namespace

SelectReport run_select(const DedupJob& job, const SelectOptions& options,
                        const std::function<void(const StageReport&)>& after_each) {
    const Json made_by = scores_made_by(job, options);
    const Json how = options_json(options);
    Workspace workspace(job.output);
    std::vector<StageMaker> makers;
    makers.push_back({"thresholds", [&](const std::string& after) {
                          Unit unit{"thresholds", {}, [&](UnitOutputs& outputs) {
                                        return write_thresholds(job, options, outputs);
                                    }};
                          if (!options.thresholds.empty())
                              unit.inputs = {options.thresholds};
                          else
                              for (const Input& input : job.inputs)
                                  unit.inputs.push_back(score_file(options.scores, input.name));
                          return Stage{"thresholds", how.dump(), after, {std::move(unit)}};
                      }});
    Stage last;
    makers.push_back({"select", [&](const std::string& after) {
                          const Json parameters = {{"records", job.record_parameters()},
                                                   {"how", how},
                                                   {"dropped", static_cast<int>(options.dropped)},
                                                   {"level", options.level},
                                                   {"scores", made_by}};
                          last = {"select", parameters.dump(), after, {}};
                          for (const Input& input : job.inputs)
                              last.units.push_back(
                                  {unit_name("select", input.name),
                                   {input.path, score_file(options.scores, input.name)},
                                   [&job, &options, &input](UnitOutputs& outputs) {
                                       return select_file(job, options, input, outputs);
                                   }});
                          return last;
                      }});
    SelectReport report;
    report.stages = run_stages(workspace, job, makers, [&](const StageReport& stage) {
        if (after_each) after_each(stage);
    });
    if (report.stages.back().name != "select" || report.stages.back().counts.empty()) return report;
    report.counts = nested_counts(report.stages.back().counts);
    report.thresholds = parse_json_file(job.output / "thresholds.json");
    const Json stats = {{"stage", "select"},
                        {"options", how},
                        {"scores", options.scores.string()},
                        {"made_by", made_by},
                        {"inputs", job.inputs.size()},
                        {"thresholds", report.thresholds},
                        {"counts", report.counts}};
    write_file_shared(job.output / "stats.json", stats.dump(2) + "\n");
    return report;
}

} // namespace tnl::corpus
