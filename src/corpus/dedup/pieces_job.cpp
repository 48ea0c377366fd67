#include "corpus/dedup/pieces_job.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/dedup/external_sort.h"
#include "corpus/io/record_reader.h"

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

constexpr RecordLayout kKeyLayout{2, 2}; // hash; piece, document

fs::path keys_path(size_t file) { return fs::path("keys") / fmt::format("{:05}.keys", file); }

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
    return stage_of_files(job, "keys",
                          fmt::format("{} kind={} form={} url={} least={}", job.record_parameters(),
                                      static_cast<int>(options.kind),
                                      static_cast<int>(options.form), options.url_field,
                                      options.least_bytes),
                          after, [&job, &options](size_t file, UnitOutputs& outputs) {
                              return make_keys(job, options, file, job.inputs.size(), outputs);
                          });
}

Json find_gone(const DedupJob& job, const PieceOptions& options, int part, size_t units,
               UnitOutputs& outputs) {
    return {{"pieces", write_gone_of_equal(job, keys_path, kKeyLayout, options.keep, part,
                                           options.parts, units, outputs)}};
}

Stage gone_stage(const DedupJob& job, const PieceOptions& options, const std::string& after) {
    return stage_of_parts(
        options.parts, "duplicates",
        fmt::format("keep={} parts={}", static_cast<int>(options.keep), options.parts), after,
        [&job, &options](int part, UnitOutputs& outputs) {
            return find_gone(job, options, part, static_cast<size_t>(options.parts), outputs);
        });
}

class KindRemover final : public PieceRemover {
  public:
    explicit KindRemover(PieceKind kind) : kind_(kind) {}
    Left remove(std::string_view text, const std::vector<uint32_t>& going,
                std::string& out) override {
        find_pieces(text, kind_, pieces_);
        if (going.back() >= pieces_.size())
            fail("a document of {} pieces, of which piece {} is to go; the file has changed since",
                 pieces_.size(), going.back());
        out.clear();
        for (size_t i = 0, next = 0; i < pieces_.size(); ++i) {
            if (next < going.size() && going[next] == i)
                ++next;
            else
                out.append(text, pieces_[i].begin, pieces_[i].next - pieces_[i].begin);
        }
        // The line breaks in front of a last piece that went go with it.
        if (!text.ends_with('\n'))
            while (out.ends_with('\n')) out.pop_back();
        const bool stays = out.find_first_not_of(" \t\r\n") != std::string::npos;
        return {stays, going.size(), pieces_.size()};
    }

  private:
    PieceKind kind_;
    std::vector<Piece> pieces_;
};

} // namespace

MakeRemover piece_remover(PieceKind kind) {
    return [kind] { return std::make_unique<KindRemover>(kind); };
}

std::vector<StageMaker> piece_stages(const DedupJob& job, const PieceOptions& options) {
    using Digest = const std::string&;
    return {{"keys", [&](Digest after) { return key_stage(job, options, after); }},
            {"duplicates", [&](Digest after) { return gone_stage(job, options, after); }},
            {"clusters",
             [&](Digest after) {
                 return divide_stage(job, options.parts,
                                     whole(options.kind) ? GoneForm::documents : GoneForm::pieces,
                                     0, after);
             }},
            {"filter", [&](Digest after) {
                 return whole(options.kind)
                            ? filter_stage(job, after)
                            : piece_filter_stage(
                                  job, fmt::format("kind={}", static_cast<int>(options.kind)),
                                  piece_remover(options.kind), after);
             }}};
}

} // namespace tnl::corpus
