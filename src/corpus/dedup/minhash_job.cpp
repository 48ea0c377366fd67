#include "corpus/dedup/minhash_job.h"

#include "base/check.h"
#include "base/threads.h"
#include "corpus/dedup/duplicates.h"
#include "corpus/dedup/minhash.h"
#include "corpus/dedup/one_permutation.h"

#include <algorithm>

namespace tnl::corpus {
namespace fs = std::filesystem;

std::vector<std::pair<std::string_view, SignatureKind>> enum_names(SignatureKind) {
    return {{"minhash", SignatureKind::minhash},
            {"one-permutation", SignatureKind::one_permutation}};
}

namespace {

std::string simplify_parameters(const SimplifyOptions& s) {
    return fmt::format("{:d}{:d}{:d}{:d}{:d}{:d}{:d}", s.lowercase, s.numbers, s.weekdays, s.months,
                       s.punctuation, s.whitespace, s.diacritics);
}

// What one thread needs to make signatures of one file's documents.
struct Signer {
    Signer(const fs::path& path, Format format, const RecordOptions& records,
           const ShingleOptions& shingles)
        : parser(path, format, records), shingler(shingles) {}
    RecordParser parser;
    Record record;
    Shingler shingler;
};

Json sign_file(const DedupJob& job, const MinHashOptions& options, size_t file, size_t units,
               UnitOutputs& outputs) {
    const Input& input = job.inputs[file];
    for (int band = 0; band < options.bands.bands; ++band)
        outputs.add(signature_path("signatures", band, static_cast<uint32_t>(file)));
    // Threads that have no file of their own share the documents of one.
    ThreadPool threads(std::max(1, job.threads / job.workers(units)));
    const RecordOptions records = job.worker_records(units);
    ChunkReader reader(input.path, records.chunks);
    std::vector<std::unique_ptr<Signer>> signers;
    for (int i = 0; i < threads.size(); ++i)
        signers.push_back(
            std::make_unique<Signer>(input.path, reader.format(), records, options.shingles));
    const size_t hashes = options.bands.hashes();
    const MinHasher by_each(options.seed, hashes);
    const OnePermutationHasher by_one(options.seed, hashes);
    const auto sign = [&](std::span<const uint64_t> shingles, uint64_t* out) {
        if (options.signature == SignatureKind::minhash)
            by_each.signature(shingles, out);
        else
            by_one.signature(shingles, out);
    };
    SignatureWriter writer(outputs.scratch() / "signatures", static_cast<uint32_t>(file),
                           options.bands, job.worker_memory(units) / 2);

    enum Kind : uint8_t { none, empty, short_text, signed_text };
    std::vector<Kind> kinds;
    std::vector<uint64_t> signatures;
    uint64_t documents = 0, bytes = 0, empties = 0;
    for (Chunk chunk; reader.next(chunk);) {
        const size_t n = chunk.records.size();
        kinds.assign(n, none);
        signatures.resize(n * hashes);
        std::vector<uint64_t> bytes_of(static_cast<size_t>(threads.size()));
        threads.run([&](int rank) {
            Signer& signer = *signers[static_cast<size_t>(rank)];
            const auto ranks = static_cast<size_t>(threads.size()), r = static_cast<size_t>(rank);
            for (size_t i = n * r / ranks; i < n * (r + 1) / ranks; ++i) {
                if (!signer.parser.parse(chunk, i, signer.record)) continue;
                const std::string& text = signer.record.text;
                kinds[i] = empty;
                if (text.empty()) continue;
                bytes_of[r] += text.size();
                const auto shingles = signer.shingler(text);
                kinds[i] = shingles.empty() ? short_text : signed_text;
                if (!shingles.empty()) sign(shingles, &signatures[i * hashes]);
            }
        });
        for (const uint64_t some : bytes_of) bytes += some;
        for (size_t i = 0; i < n; ++i) {
            empties += kinds[i] == empty;
            if (kinds[i] < short_text) continue;
            if (documents == kMostDocuments)
                fail("{}: more than {} documents, wanted smaller files", input.path.string(),
                     kMostDocuments);
            const auto document = static_cast<uint32_t>(documents++);
            if (kinds[i] == signed_text) writer.add(document, {&signatures[i * hashes], hashes});
        }
    }
    writer.commit();
    return {{"documents", documents},
            {"bytes", bytes},
            {"signed", writer.documents()},
            {"empty", empties}};
}

Stage sign_stage(const DedupJob& job, const MinHashOptions& options, const std::string& after) {
    return stage_of_files(job, "signatures",
                          fmt::format("{} words={} hash={} simplify={} bands={}x{} seed={} cut={} "
                                      "signature={}",
                                      job.record_parameters(), options.shingles.words,
                                      static_cast<int>(options.shingles.hash),
                                      simplify_parameters(options.shingles.simplify),
                                      options.bands.bands, options.bands.rows, options.seed,
                                      static_cast<int>(options.shingles.cut),
                                      static_cast<int>(options.signature)),
                          after, [&job, &options](size_t file, UnitOutputs& outputs) {
                              return sign_file(job, options, file, job.inputs.size(), outputs);
                          });
}

std::vector<fs::path> index_files(const MinHashOptions& options, int band) {
    std::vector<fs::path> out;
    for (const fs::path& folder : options.indexes) {
        const fs::path bucket = folder / fmt::format("bucket_{:03}", band);
        std::error_code error;
        const size_t before = out.size();
        for (const auto& entry : fs::directory_iterator(bucket, error))
            if (entry.path().string().ends_with(".minhash.index")) out.push_back(entry.path());
        if (out.size() == before)
            throw UsageError(fmt::format("{}: has no *.minhash.index, wanted the index of a corpus "
                                         "with {} bands of {} hashes",
                                         bucket.string(), options.bands.bands, options.bands.rows));
        std::sort(out.begin() + static_cast<ptrdiff_t>(before), out.end());
    }
    return out;
}

fs::path duplicates_path(int band, int part) {
    return fs::path("duplicates") / fmt::format("{:05}_{:02}.dups", band, part);
}

Json merge_band(const DedupJob& job, const MinHashOptions& options, int band, int part,
                size_t units, UnitOutputs& outputs) {
    BandTask task;
    task.bands = options.bands;
    for (uint32_t file = 0; file < job.inputs.size(); ++file)
        task.files.push_back({job.output / signature_path("signatures", band, file), file});
    task.indexes = index_files(options, band);
    task.only_indexed = options.only_indexed;
    const std::vector<uint64_t> keys = split_keys(task.files, options.bands, options.parts);
    task.least = keys[static_cast<size_t>(part)];
    task.most = keys[static_cast<size_t>(part) + 1];
    task.memory = job.worker_memory(units);
    task.duplicates = outputs.add(duplicates_path(band, part));
    if (!options.index_name.empty())
        task.index = outputs.add(fs::path("index") / fmt::format("bucket_{:03}", band) /
                                 fmt::format("{}_{:02}.minhash.index", options.index_name, part));
    const BandCounts counts = find_duplicates(task);
    return {{"records", counts.records}, {"edges", counts.edges}, {"indexed", counts.indexed}};
}

Stage merge_stage(const DedupJob& job, const MinHashOptions& options, const std::string& after) {
    Stage stage{"duplicates",
                fmt::format("parts={} only_indexed={:d} index={}", options.parts,
                            options.only_indexed, options.index_name),
                after,
                {}};
    const size_t units =
        static_cast<size_t>(options.bands.bands) * static_cast<size_t>(options.parts);
    for (int band = 0; band < options.bands.bands; ++band)
        for (int part = 0; part < options.parts; ++part)
            stage.units.push_back({fmt::format("duplicates-{:05}-{:02}", band, part),
                                   index_files(options, band),
                                   [&job, &options, band, part, units](UnitOutputs& outputs) {
                                       return merge_band(job, options, band, part, units, outputs);
                                   }});
    return stage;
}

Json cluster(const DedupJob& job, const MinHashOptions& options, UnitOutputs& outputs) {
    std::vector<fs::path> duplicates;
    for (int band = 0; band < options.bands.bands; ++band)
        for (int part = 0; part < options.parts; ++part)
            duplicates.push_back(job.output / duplicates_path(band, part));
    ClusterOptions how;
    how.survivor = options.survivor;
    how.ids = options.ids;
    how.sizes = options.sizes;
    how.ignore_indexed = options.ignore_indexed;
    how.memory = job.worker_memory(1);
    how.scratch = outputs.scratch();
    const fs::path folder = outputs.scratch() / "remove";
    fs::create_directories(folder);
    const ClusterCounts counts = find_clusters(duplicates, folder, how);
    std::vector<fs::path> names;
    for (const auto& entry : fs::directory_iterator(folder))
        names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    for (const fs::path& name : names) outputs.add("remove" / name);
    return {{"edges", counts.edges},
            {"documents", counts.documents},
            {"clusters", counts.clusters},
            {"removed", counts.removed},
            {"external", counts.external ? 1 : 0}};
}

Stage cluster_stage(const DedupJob& job, const MinHashOptions& options, const std::string& after) {
    return {"clusters",
            fmt::format("survivor={} ids={:d} sizes={:d} ignore_indexed={:d}",
                        static_cast<int>(options.survivor), options.ids, options.sizes,
                        options.ignore_indexed),
            after,
            {{"clusters", {}, [&job, &options](UnitOutputs& outputs) {
                  return cluster(job, options, outputs);
              }}}};
}

} // namespace

std::vector<StageMaker> minhash_stages(const DedupJob& job, const MinHashOptions& options) {
    using Digest = const std::string&;
    return {{"signatures", [&](Digest after) { return sign_stage(job, options, after); }},
            {"duplicates", [&](Digest after) { return merge_stage(job, options, after); }},
            {"clusters", [&](Digest after) { return cluster_stage(job, options, after); }},
            {"filter", [&](Digest after) { return filter_stage(job, after); }}};
}

} // namespace tnl::corpus
