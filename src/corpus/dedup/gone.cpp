#include "corpus/dedup/gone.h"

#include "base/check.h"

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

constexpr RecordLayout kLayout{2, 0};

// The list of one input after the other.
class Lists {
  public:
    Lists(UnitOutputs& outputs, GoneForm form, size_t window)
        : outputs_(outputs), form_(form), window_(window) {}

    void add(uint64_t node, uint64_t piece) {
        ++removed_;
        if (form_ != GoneForm::windows) return write(node, piece);
        if (any_ && node == node_ && piece <= end_) {
            end_ = piece + window_;
            return;
        }
        end_range();
        any_ = true;
        node_ = node;
        end_ = piece + window_;
        write(node, piece);
    }
    uint64_t finish() {
        end_range();
        if (out_) out_->commit();
        return removed_;
    }

  private:
    void end_range() {
        if (any_) write(node_, end_);
        any_ = false;
    }
    void write(uint64_t node, uint64_t piece) {
        const uint64_t file = node >> 32;
        const bool whole = form_ == GoneForm::documents;
        if (!out_ || file != file_) {
            if (out_) out_->commit();
            file_ = file;
            out_ = std::make_unique<AtomicFile>(outputs_.add(
                fs::path("remove") / fmt::format("{:06}.{}", file, whole ? "remove" : "pieces")));
        }
        const uint32_t values[2] = {static_cast<uint32_t>(node), static_cast<uint32_t>(piece)};
        out_->write(values, whole ? sizeof values[0] : sizeof values);
    }
    UnitOutputs& outputs_;
    GoneForm form_;
    size_t window_;
    std::unique_ptr<AtomicFile> out_;
    uint64_t file_ = 0, removed_ = 0;
    bool any_ = false; // a range that has not ended
    uint64_t node_ = 0, end_ = 0;
};

Json divide(const DedupJob& job, int count, GoneForm form, size_t window, UnitOutputs& outputs) {
    std::vector<SortedFile> parts;
    for (int part = 0; part < count; ++part)
        parts.push_back({job.output / gone_path(part), kLayout});
    Lists lists(outputs, form, window);
    SortedMerge(std::move(parts), job.worker_memory(1)).run([&](auto records) {
        for (const MergedRecord& record : records)
            lists.add(kLayout.key(record.data, 0), kLayout.key(record.data, 1));
    });
    return {{"removed", lists.finish()}};
}

} // namespace

std::vector<std::pair<std::string_view, Keep>> enum_names(Keep) {
    return {{"first", Keep::first}, {"none", Keep::none}};
}

void EqualKeys::add(const Numbers<2>& key, const Numbers<2>& piece) {
    if (any_ && key == key_) {
        if (first_ && keep_ == Keep::none) send(piece_);
        send(piece);
        first_ = false;
        return;
    }
    any_ = first_ = true;
    key_ = key;
    piece_ = piece;
}

void EqualKeys::send(const Numbers<2>& piece) {
    gone_.add(piece);
    ++sent_;
}

uint64_t part_begin(int part, int parts) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(part) << 64) /
                                 static_cast<unsigned>(parts));
}

std::vector<SortedFile> files_of_part(const DedupJob& job, fs::path (*path)(size_t file),
                                      const RecordLayout& layout, int part, int parts) {
    std::vector<SortedFile> out;
    for (size_t file = 0; file < job.inputs.size(); ++file) {
        const fs::path at = job.output / path(file);
        out.push_back({at, layout, lower_record(at, layout, part_begin(part, parts)),
                       part + 1 == parts ? UINT64_MAX
                                         : lower_record(at, layout, part_begin(part + 1, parts))});
    }
    return out;
}

fs::path gone_path(int part) { return fs::path("duplicates") / fmt::format("{:02}.pieces", part); }

void write_gone(ExternalSort<2>& gone, UnitOutputs& outputs, int part) {
    AtomicFile out(outputs.add(gone_path(part)));
    gone.finish([&](std::span<const Numbers<2>> sorted) {
        out.write(sorted.data(), sorted.size() * sizeof(Numbers<2>));
    });
    out.commit();
}

uint64_t write_gone_of_equal(const DedupJob& job, std::filesystem::path (*path)(size_t file),
                             const RecordLayout& layout, Keep keep, int part, int parts,
                             size_t units, UnitOutputs& outputs) {
    const size_t memory = job.worker_memory(units);
    ExternalSort<2> gone(outputs.scratch(), "gone", memory / 3);
    EqualKeys equal(keep, gone);
    SortedMerge(files_of_part(job, path, layout, part, parts), memory / 2)
        .run([&](std::span<const MergedRecord> records) {
            for (const MergedRecord& r : records)
                equal.add(
                    {layout.key(r.data, 0), layout.key(r.data, 1)},
                    {uint64_t{r.source} << 32 | layout.value(r.data, 1), layout.value(r.data, 0)});
        });
    write_gone(gone, outputs, part);
    return equal.sent();
}

Stage divide_stage(const DedupJob& job, int parts, GoneForm form, size_t window,
                   const std::string& after) {
    return {"clusters",
            fmt::format("form={} window={}", static_cast<int>(form), window),
            after,
            {{"clusters", {}, [&job, parts, form, window](UnitOutputs& outputs) {
                  return divide(job, parts, form, window, outputs);
              }}}};
}

} // namespace tnl::corpus
