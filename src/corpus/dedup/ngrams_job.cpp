#include "corpus/dedup/ngrams_job.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/dedup/gone.h"
#include "corpus/dedup/ngram_filter.h"
#include "corpus/dedup/pieces_job.h"
#include "corpus/io/record_reader.h"

#include <xxhash.h>

#include <fstream>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

fs::path grams_path(size_t file, int part) {
    return fs::path("keys") / fmt::format("{:05}.{:02}.grams", file, part);
}
fs::path pieces_path(size_t file) { return fs::path("keys") / fmt::format("{:05}.pieces", file); }
fs::path seen_path(int part) { return fs::path("duplicates") / fmt::format("{:02}.seen", part); }

// Numbers of a file, one after the other.
class NumberFile {
  public:
    explicit NumberFile(fs::path path) : path_(std::move(path)), buffer_(size_t{256} << 10, '\0') {
        file_.rdbuf()->pubsetbuf(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
        file_.open(path_, std::ios::binary);
        if (!file_) fail("{}: cannot be read", path_.string());
    }
    template <class T> bool read(T* to, size_t count) {
        const auto bytes = static_cast<std::streamsize>(count * sizeof(T));
        file_.read(reinterpret_cast<char*>(to), bytes);
        if (file_.gcount() == 0 && bytes > 0) return false;
        if (file_.gcount() != bytes) fail("{}: ends too early; it is damaged", path_.string());
        return true;
    }

  private:
    fs::path path_;
    std::string buffer_; // outlives the stream that uses it
    std::ifstream file_;
};

// The n-grams of pieces of text, each part's into its file.
class KeyWriter {
  public:
    KeyWriter(const NgramOptions& options, size_t file, UnitOutputs& outputs)
        : options_(options), shingler_(options.shingles), pieces_(outputs.add(pieces_path(file))),
          of_part_(static_cast<size_t>(options.parts)) {
        for (int part = 0; part < options.parts; ++part)
            grams_.push_back(std::make_unique<AtomicFile>(outputs.add(grams_path(file, part))));
    }
    void add(uint64_t document, size_t place, std::string_view text) {
        for (std::vector<uint64_t>& hashes : of_part_) hashes.clear();
        uint32_t count = 0;
        const auto take = [&](uint64_t hash) {
            const auto part =
                (static_cast<unsigned __int128>(hash) * static_cast<unsigned>(options_.parts)) >>
                64;
            of_part_[static_cast<size_t>(part)].push_back(hash);
            ++count;
        };
        for (const uint64_t hash : shingler_(text)) take(hash);
        // Of a paragraph with fewer words they are one n-gram.
        if (count == 0 && options_.scope == NgramScope::paragraph) {
            simplify(text, simple_, options_.shingles.simplify);
            if (!simple_.empty()) take(XXH64(simple_.data(), simple_.size(), 0));
        }
        const uint32_t piece[3] = {static_cast<uint32_t>(document), static_cast<uint32_t>(place),
                                   count};
        pieces_.write(piece, sizeof piece);
        for (size_t part = 0; part < of_part_.size(); ++part) {
            const auto size = static_cast<uint32_t>(of_part_[part].size());
            grams_[part]->write(&size, sizeof size);
            grams_[part]->write(of_part_[part].data(), size * sizeof(uint64_t));
        }
        total_ += count;
    }
    uint64_t commit() {
        pieces_.commit();
        for (auto& file : grams_) file->commit();
        return total_;
    }

  private:
    const NgramOptions& options_;
    Shingler shingler_;
    AtomicFile pieces_;
    std::vector<std::unique_ptr<AtomicFile>> grams_;
    std::vector<std::vector<uint64_t>> of_part_;
    std::string simple_;
    uint64_t total_ = 0;
};

Json make_keys(const DedupJob& job, const NgramOptions& options, size_t file, size_t units,
               UnitOutputs& outputs) {
    const Input& input = job.inputs[file];
    RecordReader reader(input.path, job.worker_records(units));
    KeyWriter keys(options, file, outputs);
    std::vector<Piece> pieces;
    uint64_t documents = 0;
    for (Record record; reader.next(record);) {
        if (record.text.empty()) continue;
        if (documents == kMostDocuments)
            fail("{}: more than {} documents, wanted smaller files", input.path.string(),
                 kMostDocuments);
        const uint64_t document = documents++;
        find_pieces(record.text,
                    options.scope == NgramScope::document ? PieceKind::exact : PieceKind::paragraph,
                    pieces);
        for (size_t i = 0; i < pieces.size(); ++i)
            keys.add(document, i,
                     std::string_view(record.text)
                         .substr(pieces[i].begin, pieces[i].end - pieces[i].begin));
    }
    return {{"documents", documents}, {"ngrams", keys.commit()}};
}

std::string key_parameters(const DedupJob& job, const NgramOptions& o) {
    return fmt::format("{} words={} cut={} hash={} numbers={:d} scope={} parts={}",
                       job.record_parameters(), o.shingles.words, static_cast<int>(o.shingles.cut),
                       static_cast<int>(o.shingles.hash), o.shingles.simplify.numbers,
                       static_cast<int>(o.scope), o.parts);
}

// What the part's filter says, for all pieces of all files.
Json find_seen(const DedupJob& job, const NgramOptions& options, int part, UnitOutputs& outputs) {
    NgramFilter filter(options.filter_bytes / static_cast<uint64_t>(options.parts));
    AtomicFile out(outputs.add(seen_path(part)));
    std::vector<uint64_t> hashes;
    uint64_t total = 0, known = 0;
    for (size_t file = 0; file < job.inputs.size(); ++file) {
        NumberFile in(job.output / grams_path(file, part));
        for (uint32_t size = 0; in.read(&size, 1);) {
            hashes.resize(size);
            if (size > 0 && !in.read(hashes.data(), size))
                fail("{}: ends too early", grams_path(file, part).string());
            for (const uint64_t hash : hashes) filter.prefetch(hash);
            uint32_t seen = 0;
            for (const uint64_t hash : hashes) seen += filter.contains(hash);
            for (const uint64_t hash : hashes) filter.insert(hash);
            out.write(&seen, sizeof seen);
            total += size;
            known += seen;
        }
    }
    out.commit();
    return {{"ngrams", total},
            {"seen", known},
            {"false_positives_per_million",
             static_cast<uint64_t>(filter.false_positives() * 1e6 / options.parts)}};
}

Json find_gone(const DedupJob& job, const NgramOptions& options, UnitOutputs& outputs) {
    std::vector<std::unique_ptr<NumberFile>> parts;
    for (int part = 0; part < options.parts; ++part)
        parts.push_back(std::make_unique<NumberFile>(job.output / seen_path(part)));
    uint64_t removed = 0;
    const bool whole = options.scope == NgramScope::document;
    for (size_t file = 0; file < job.inputs.size(); ++file) {
        NumberFile pieces(job.output / pieces_path(file));
        AtomicFile out(outputs.add(fs::path("remove") /
                                   fmt::format("{:06}.{}", file, whole ? "remove" : "pieces")));
        for (uint32_t piece[3]; pieces.read(piece, 3);) {
            uint64_t seen = 0;
            for (const auto& part : parts) {
                uint32_t of_part = 0;
                if (!part->read(&of_part, 1))
                    fail("{}: ends too early", (job.output / "duplicates").string());
                seen += of_part;
            }
            if (piece[2] == 0 || !(static_cast<double>(seen) / piece[2] > options.share)) continue;
            out.write(piece, (whole ? 1 : 2) * sizeof piece[0]);
            ++removed;
        }
        out.commit();
    }
    return {{"removed", removed}};
}

} // namespace

std::vector<std::pair<std::string_view, NgramScope>> enum_names(NgramScope) {
    return {{"document", NgramScope::document}, {"paragraph", NgramScope::paragraph}};
}

std::vector<StageMaker> ngram_stages(const DedupJob& job, const NgramOptions& options) {
    const auto parts = static_cast<size_t>(options.parts);
    const size_t filter = options.filter_bytes / parts;
    if (filter > job.worker_memory(parts) * 3 / 4)
        throw UsageError(fmt::format("--filter-size {} MB in {} parts, {} at once, do not fit into "
                                     "--memory {} MB; wanted more parts, more memory or fewer "
                                     "threads",
                                     options.filter_bytes >> 20, parts, job.workers(parts),
                                     job.memory >> 20));
    using Digest = const std::string&;
    return {{"keys",
             [&](Digest after) {
                 return stage_of_files(job, "keys", key_parameters(job, options), after,
                                       [&job, &options](size_t file, UnitOutputs& outputs) {
                                           return make_keys(job, options, file, job.inputs.size(),
                                                            outputs);
                                       });
             }},
            {"duplicates",
             [&](Digest after) {
                 return stage_of_parts(options.parts, "duplicates",
                                       fmt::format("filter={}", options.filter_bytes), after,
                                       [&job, &options](int part, UnitOutputs& outputs) {
                                           return find_seen(job, options, part, outputs);
                                       });
             }},
            {"clusters",
             [&](Digest after) {
                 return Stage{"clusters",
                              fmt::format("share={}", options.share),
                              after,
                              {{"clusters", {}, [&](UnitOutputs& outputs) {
                                    return find_gone(job, options, outputs);
                                }}}};
             }},
            {"filter", [&](Digest after) {
                 return options.scope == NgramScope::document
                            ? filter_stage(job, after)
                            : piece_filter_stage(job, "paragraphs",
                                                 piece_remover(PieceKind::paragraph), after);
             }}};
}

} // namespace tnl::corpus
