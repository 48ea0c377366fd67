#include "corpus/dedup/pieces_job.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/dedup/external_sort.h"
#include "corpus/dedup/piece_filter.h"
#include "corpus/io/record_reader.h"

#include <algorithm>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

constexpr RecordLayout kKeyLayout{2, 2}; // hash; piece, document
constexpr RecordLayout kGoneLayout{2, 0};

fs::path keys_path(size_t file) { return fs::path("keys") / fmt::format("{:05}.keys", file); }
fs::path gone_path(int part) { return fs::path("duplicates") / fmt::format("{:02}.pieces", part); }

bool whole(PieceKind kind) { return kind == PieceKind::exact || kind == PieceKind::url; }

Json make_keys(const DedupJob& job, const PieceOptions& options, size_t file, size_t units,
               UnitOutputs& outputs) {
    const Input& input = job.inputs[file];
    RecordOptions records = job.worker_records(units);
    if (options.kind == PieceKind::url) records.fields = {options.url_field};
    RecordReader reader(input.path, records);
    PieceHasher hasher(options.kind == PieceKind::url ? PieceForm::none : options.form);
    ExternalSort<3> sort(outputs.scratch(), "keys", job.worker_memory(units) / 2);
    std::vector<Piece> pieces;
    uint64_t documents = 0, keys = 0;
    for (Record record; reader.next(record);) {
        if (record.text.empty()) continue;
        if (documents == kMostDocuments)
            fail("{}: more than {} documents, wanted smaller files", input.path.string(),
                 kMostDocuments);
        const uint64_t document = documents++;
        const std::string url =
            options.kind == PieceKind::url ? canonical_url(record.fields[0]) : "";
        const std::string_view text = options.kind == PieceKind::url ? url : record.text;
        find_pieces(text, options.kind, pieces);
        for (size_t i = 0; i < pieces.size(); ++i) {
            const Piece& piece = pieces[i];
            XXH128_hash_t hash;
            if (piece.end - piece.begin < options.least_bytes ||
                !hasher(text.substr(piece.begin, piece.end - piece.begin), hash))
                continue;
            sort.add({hash.high64, hash.low64, document << 32 | i});
            ++keys;
        }
    }
    AtomicFile out(outputs.add(keys_path(file)));
    sort.finish([&](std::span<const Numbers<3>> sorted) {
        out.write(sorted.data(), sorted.size() * sizeof(Numbers<3>));
    });
    out.commit();
    return {{"documents", documents}, {"keys", keys}};
}

Stage key_stage(const DedupJob& job, const PieceOptions& options, const std::string& after) {
    Stage stage{"keys",
                fmt::format("{} kind={} form={} url={} least={}", job.record_parameters(),
                            static_cast<int>(options.kind), static_cast<int>(options.form),
                            options.url_field, options.least_bytes),
                after,
                {}};
    const size_t units = job.inputs.size();
    for (size_t file = 0; file < units; ++file)
        stage.units.push_back({fmt::format("keys-{:06}", file),
                               {job.inputs[file].path},
                               [&job, &options, file, units](UnitOutputs& outputs) {
                                   return make_keys(job, options, file, units, outputs);
                               }});
    return stage;
}

// The pieces of one hash, in order: all but the first go, or all where there are several.
class Groups {
  public:
    Groups(Keep keep, ExternalSort<2>& gone) : keep_(keep), gone_(gone) {}
    void add(const Numbers<2>& hash, const Numbers<2>& piece) {
        if (any_ && hash == hash_) {
            if (first_ && keep_ == Keep::none) send(piece_);
            send(piece);
            first_ = false;
            return;
        }
        any_ = first_ = true;
        hash_ = hash;
        piece_ = piece;
    }
    uint64_t sent() const { return sent_; }

  private:
    void send(const Numbers<2>& piece) {
        gone_.add(piece);
        ++sent_;
    }
    Keep keep_;
    ExternalSort<2>& gone_;
    bool any_ = false, first_ = false;
    Numbers<2> hash_{}, piece_{};
    uint64_t sent_ = 0;
};

Json find_gone(const DedupJob& job, const PieceOptions& options, int part, size_t units,
               UnitOutputs& outputs) {
    // Hashes are spread evenly over their range: equal parts of it are equal work.
    const auto edge = [&](int p) {
        return static_cast<uint64_t>((static_cast<unsigned __int128>(p) << 64) /
                                     static_cast<unsigned>(options.parts));
    };
    const bool last = part + 1 == options.parts;
    std::vector<SortedFile> files;
    for (size_t file = 0; file < job.inputs.size(); ++file) {
        const fs::path path = job.output / keys_path(file);
        files.push_back({path, kKeyLayout, lower_record(path, kKeyLayout, edge(part)),
                         last ? UINT64_MAX : lower_record(path, kKeyLayout, edge(part + 1))});
    }
    const size_t memory = job.worker_memory(units);
    ExternalSort<2> gone(outputs.scratch(), "gone", memory / 3);
    Groups groups(options.keep, gone);
    SortedMerge(std::move(files), memory / 2).run([&](std::span<const MergedRecord> records) {
        for (const MergedRecord& r : records)
            groups.add({kKeyLayout.key(r.data, 0), kKeyLayout.key(r.data, 1)},
                       {uint64_t{r.source} << 32 | kKeyLayout.value(r.data, 1),
                        kKeyLayout.value(r.data, 0)});
    });
    AtomicFile out(outputs.add(gone_path(part)));
    gone.finish([&](std::span<const Numbers<2>> sorted) {
        out.write(sorted.data(), sorted.size() * sizeof(Numbers<2>));
    });
    out.commit();
    return {{"pieces", groups.sent()}};
}

Stage gone_stage(const DedupJob& job, const PieceOptions& options, const std::string& after) {
    Stage stage{"duplicates",
                fmt::format("keep={} parts={}", static_cast<int>(options.keep), options.parts),
                after,
                {}};
    const auto units = static_cast<size_t>(options.parts);
    for (int part = 0; part < options.parts; ++part)
        stage.units.push_back({fmt::format("duplicates-{:02}", part),
                               {},
                               [&job, &options, part, units](UnitOutputs& outputs) {
                                   return find_gone(job, options, part, units, outputs);
                               }});
    return stage;
}

// The lists of single files, from those of the parts.
Json divide(const DedupJob& job, const PieceOptions& options, UnitOutputs& outputs) {
    std::vector<SortedFile> parts;
    for (int part = 0; part < options.parts; ++part)
        parts.push_back({job.output / gone_path(part), kGoneLayout});
    std::unique_ptr<AtomicFile> out;
    uint64_t at = UINT64_MAX, removed = 0;
    SortedMerge(std::move(parts), job.worker_memory(1)).run([&](auto records) {
        for (const MergedRecord& record : records) {
            const uint64_t node = kGoneLayout.key(record.data, 0);
            const uint32_t values[2] = {static_cast<uint32_t>(node),
                                        static_cast<uint32_t>(kGoneLayout.key(record.data, 1))};
            if (node >> 32 != at) {
                if (out) out->commit();
                at = node >> 32;
                out = std::make_unique<AtomicFile>(outputs.add(
                    fs::path("remove") /
                    fmt::format("{:06}.{}", at, whole(options.kind) ? "remove" : "pieces")));
            }
            out->write(values, whole(options.kind) ? sizeof values[0] : sizeof values);
            ++removed;
        }
    });
    if (out) out->commit();
    return {{"removed", removed}};
}

} // namespace

std::vector<std::pair<std::string_view, Keep>> enum_names(Keep) {
    return {{"first", Keep::first}, {"none", Keep::none}};
}

std::vector<StageMaker> piece_stages(const DedupJob& job, const PieceOptions& options) {
    using Digest = const std::string&;
    return {{"keys", [&](Digest after) { return key_stage(job, options, after); }},
            {"duplicates", [&](Digest after) { return gone_stage(job, options, after); }},
            {"clusters",
             [&](Digest after) {
                 return Stage{"clusters",
                              fmt::format("whole={:d}", whole(options.kind)),
                              after,
                              {{"clusters", {}, [&](UnitOutputs& outputs) {
                                    return divide(job, options, outputs);
                                }}}};
             }},
            {"filter", [&](Digest after) {
                 return whole(options.kind) ? filter_stage(job, after)
                                            : piece_filter_stage(job, options.kind, after);
             }}};
}

} // namespace tnl::corpus
