#include "score/score_job.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/io/record_writer.h"
#include "corpus/jobs/file_hash.h"
#include "corpus/jobs/nested_counts.h"
#include "corpus/jobs/shared_file.h"
#include "corpus/jobs/unit_name.h"
#include "corpus/scores/score_tally.h"
#include "infer/evaluator.h"
#include "model/adapter.h"
#include "model/flops.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace tnl::corpus {
namespace {

// To be raised whenever the same model says something else of the same text.
constexpr int kVersion = 1;
// States of one call's documents may take so much of the device's memory.
constexpr int64_t kStateBytes = int64_t{2} << 30;
// Text that a thread encodes at once: little, so that all of them are busy from a file's beginning.
constexpr size_t kEncodedBytes = size_t{256} << 10;
// Calls of the model whose documents are gathered before it begins: only the last is not full.
constexpr int64_t kGatheredCalls = 32;
// A record is there as read, as parsed, and as tokens.
constexpr size_t kCopiesOfRecord = 16;

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Evaluator::Options evaluator_options(const LoadedModel& loaded, const ScoreOptions& options) {
    const bool gpu = loaded.device->kind() == DeviceKind::cuda;
    Evaluator::Options out;
    out.dtype = loaded.dtype;
    out.chunk = options.chunk > 0 ? options.chunk : gpu ? 32768 : 2048;
    const int64_t state = std::max<int64_t>(loaded.model.config().state_bytes(), 1);
    out.sequences = std::clamp<int64_t>(kStateBytes / state, 4, gpu ? 256 : 16);
    // Rows of logits that 512 MiB hold.
    const int64_t rows =
        (int64_t{512} << 20) / (loaded.model.config().vocab_size * size_of(loaded.dtype));
    out.head_chunk = std::clamp<int64_t>(gpu ? rows : 512, 1, out.chunk);
    return out;
}

class Scorer {
  public:
    Scorer(const DedupJob& job, const ScoreOptions& options)
        : options_(options), threads_(std::max(1, job.threads)),
          loaded_(LoadedModel::Unloaded{}, options.model, options.device, job.threads,
                  options.dtype),
          evaluator_options_(evaluator_options(loaded_, options)), records_(job.records) {
        records_.fields.assign(options.group_fields.begin(), options.group_fields.end());
        records_.chunks.chunk_bytes = kEncodedBytes;
        records_.chunks.max_record_bytes = job.memory / kCopiesOfRecord;
        if (options.bos.value_or(loaded_.model.config().add_bos_token))
            ends_.bos = token("bos_token_id", loaded_.model.config().bos_token_id);
        if (options.eos) ends_.eos = token("eos_token_id", loaded_.model.config().eos_token_id);
        loaded_.device->stream().same_shapes = true; // all calls but the last of a file
    }

    // All that scores depend on, beside the texts and, within rounding, the device.
    Json made_by() const {
        return {{"version", kVersion},
                {"weights", weights_checksum(options_.model)},
                {"config", hash_text(read_file(options_.model / "config.json"))},
                {"tokenizer", fmt::format("{:016x}", loaded_.tokenizer.hash())},
                {"dtype", name_of(loaded_.dtype)},
                {"chunk", evaluator_options_.chunk},
                {"sequences", evaluator_options_.sequences},
                {"bos", ends_.bos},
                {"eos", ends_.eos},
                {"groups", options_.group_fields}};
    }

    Json file(const std::filesystem::path& input, const std::filesystem::path& output,
              const std::function<void(const ScoreProgress&)>& progress) {
        load();
        TokenSource source(input, records_, loaded_.tokenizer, ends_, threads_);
        RecordWriter writer(output);
        ScoreTally tally;
        TokenChunk waiting;
        int64_t tokens = 0;
        for (bool more = true; more;) {
            TokenChunk chunk;
            more = source.next(chunk);
            for (size_t i = 0; i < chunk.ids.size(); ++i) {
                tokens += std::ssize(chunk.ids[i]);
                waiting.documents.push_back(std::move(chunk.documents[i]));
                waiting.ids.push_back(std::move(chunk.ids[i]));
            }
            if (more && tokens < kGatheredCalls * evaluator_options_.chunk) continue;
            score(input, waiting);
            for (const DocumentScore& document : waiting.documents) {
                writer.add(document);
                tally.add(document);
            }
            if (progress) progress(here_);
            waiting = {};
            tokens = 0;
        }
        writer.commit();
        Json counts = Json::object();
        tally.add_to(counts);
        counts["skipped"] = source.counts().skipped;
        return counts;
    }

    const ScoreProgress& here() const { return here_; }
    const LoadedModel& loaded() const { return loaded_; }

    double load_seconds() const { return load_seconds_; }

  private:
    // When the first input is to be scored: mostly there is nothing left of a run that is repeated.
    void load() {
        if (evaluator_) return;
        const auto start = std::chrono::steady_clock::now();
        loaded_.load_weights(options_.model);
        evaluator_.emplace(loaded_.model, *loaded_.device, loaded_.weights, evaluator_options_);
        load_seconds_ = seconds_since(start);
    }
    void score(const std::filesystem::path& input, TokenChunk& chunk) {
        const auto start = std::chrono::steady_clock::now();
        const std::vector<DocumentLoss> losses = evaluator_->losses(chunk.ids);
        here_.model_seconds += seconds_since(start);
        for (size_t i = 0; i < losses.size(); ++i) {
            DocumentScore& document = chunk.documents[i];
            if (!std::isfinite(losses[i].nats))
                fail("{}: document {} ({}): the loss is {}: the weights or activations of the "
                     "model are not finite",
                     input.string(), document.index, document.id, losses[i].nats);
            document.tokens = losses[i].tokens;
            document.set_nll(losses[i].nats);
            ++here_.documents;
            here_.tokens += document.tokens;
            here_.bytes += document.bytes;
        }
    }
    int32_t token(const char* name, int64_t id) const {
        if (id < 0 || id >= loaded_.model.config().vocab_size)
            fail("{}: {} is {}, wanted a token, 0 to {}", (options_.model / "config.json").string(),
                 name, id, loaded_.model.config().vocab_size - 1);
        return static_cast<int32_t>(id);
    }

    const ScoreOptions& options_;
    int threads_;
    LoadedModel loaded_;
    Evaluator::Options evaluator_options_;
    std::optional<Evaluator> evaluator_;
    double load_seconds_ = 0;
    RecordOptions records_;
    DocumentEnds ends_;
    ScoreProgress here_;
};

void write_stats(const DedupJob& job, const ScoreOptions& options, const Json& made_by,
                 const ScoreReport& report) {
    const Json stats = {{"stage", "score"},
                        {"model", options.model.string()},
                        {"made_by", made_by},
                        {"inputs", report.progress.units},
                        {"counts", report.counts}};
    write_file_shared(job.output / "stats.json", stats.dump(2) + "\n");
}

} // namespace

ScoreReport run_scores(const DedupJob& job, const ScoreOptions& options,
                       const std::function<void(const ScoreProgress&)>& progress) {
    Scorer scorer(job, options);
    const Json made_by = scorer.made_by();
    const auto start = std::chrono::steady_clock::now();
    Workspace workspace(job.output);
    Stage stage{"score", job.record_parameters() + " " + made_by.dump(), "", {}};
    for (const Input& input : job.inputs)
        stage.units.push_back(
            {unit_name("score", input.name), {input.path}, [&](UnitOutputs& outputs) {
                 return scorer.file(input.path, outputs.add(score_file("", input.name)), progress);
             }});
    ScoreReport report;
    report.progress = workspace.run(stage, 1, job.task, true);
    report.here = scorer.here();
    report.seconds = seconds_since(start) - scorer.load_seconds();
    report.forward_flops = model_flops(scorer.loaded().model, 1).forward();
    report.device = scorer.loaded().device->name();
    report.dtype = name_of(scorer.loaded().dtype);
    const Workspace::Progress& p = report.progress;
    if (p.done_before + p.done_here + p.done_elsewhere == p.units) {
        report.counts = nested_counts(workspace.counts(stage));
        write_stats(job, options, made_by, report);
    }
    return report;
}

} // namespace tnl::corpus
