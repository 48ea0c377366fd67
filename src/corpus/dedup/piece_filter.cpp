#include "corpus/dedup/piece_filter.h"

#include "base/check.h"
#include "corpus/io/record_reader.h"
#include "corpus/io/record_writer.h"

#include <fstream>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

// The pieces of a file that go, read as they are asked for.
class GonePieces {
  public:
    explicit GonePieces(const fs::path& path) : path_(path), file_(path, std::ios::binary) {
        read();
    }
    // Pieces of the next document, in order.
    void of(uint64_t document, std::vector<uint32_t>& out) {
        out.clear();
        for (; any_ && next_[0] == document; read()) out.push_back(next_[1]);
        if (any_ && next_[0] < document)
            fail("{}: is not in order; the file is damaged", path_.string());
    }
    void finish(const fs::path& input) const {
        if (any_)
            fail("{}: has no document {}, of which pieces are to be removed; the file has changed "
                 "since, or another was given",
                 input.string(), next_[0]);
    }

  private:
    void read() { any_ = bool(file_.read(reinterpret_cast<char*>(next_), sizeof next_)); }
    fs::path path_;
    std::ifstream file_;
    uint32_t next_[2] = {};
    bool any_ = false;
};

Json filter_pieces(const DedupJob& job, PieceRemover& remover, size_t file, size_t units,
                   UnitOutputs& outputs) {
    const Input& input = job.inputs[file];
    GonePieces gone(job.output / "remove" / fmt::format("{:06}.pieces", file));
    RecordReader reader(input.path, job.worker_records(units));
    RecordWriter kept(outputs.add(fs::path("kept") / (input.name + ".jsonl.zst")));
    RecordWriter dropped(outputs.add(fs::path("dropped") / (input.name + ".jsonl.zst")));
    uint64_t documents = 0, bytes = 0, kept_documents = 0, kept_bytes = 0, removed = 0, empty = 0;
    std::vector<uint32_t> going;
    std::string line, text;
    for (Record record; reader.next(record);) {
        if (record.text.empty()) {
            ++empty;
            continue;
        }
        const uint64_t document = documents++;
        bytes += record.text.size();
        gone.of(document, going);
        if (!going.empty()) {
            const PieceRemover::Left left = remover.remove(record.text, going, text);
            line = "{\"id\": ";
            append_json_string(line, record.id);
            line += fmt::format(
                ", \"file\": {}, \"document\": {}, \"rule\": \"{}\", \"pieces\": {}, \"of\": {}, "
                "\"bytes\": {}, \"dropped\": {}}}",
                file, document, job.mode, left.gone, left.of, record.text.size() - text.size(),
                !left.stays);
            dropped.add_line(line);
            removed += left.gone;
            if (!left.stays) continue;
            record.set_text(text);
        }
        ++kept_documents;
        kept_bytes += record.text.size();
        kept.add(record);
    }
    gone.finish(input.path);
    kept.commit();
    dropped.commit();
    return {{"documents", documents},
            {"bytes", bytes},
            {"kept_documents", kept_documents},
            {"kept_bytes", kept_bytes},
            {"pieces", removed},
            {"empty", empty},
            {"skipped", reader.counts().skipped}};
}

} // namespace

Stage piece_filter_stage(const DedupJob& job, const std::string& parameters, MakeRemover make,
                         const std::string& after) {
    return stage_of_files(
        job, "filter", fmt::format("{} mode={} {}", job.record_parameters(), job.mode, parameters),
        after, [&job, make](size_t file, UnitOutputs& outputs) {
            return filter_pieces(job, *make(), file, job.inputs.size(), outputs);
        });
}

} // namespace tnl::corpus
