#include "corpus/dedup/substring_job.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/dedup/piece_filter.h"
#include "corpus/dedup/windows.h"
#include "corpus/io/record_reader.h"

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

constexpr RecordLayout kAnchorLayout{1, 2};    // hash; place, document
constexpr RecordLayout kCandidateLayout{2, 0}; // file and document, place
constexpr RecordLayout kWindowLayout{2, 2};    // hash; place, document

fs::path anchors_path(size_t file) {
    return fs::path("anchors") / fmt::format("{:05}.anchors", file);
}
fs::path candidates_path(int part) {
    return fs::path("candidates") / fmt::format("{:02}.candidates", part);
}
fs::path windows_path(size_t file) {
    return fs::path("windows") / fmt::format("{:05}.windows", file);
}

template <size_t K>
void write_sorted(ExternalSort<K>& sort, UnitOutputs& outputs, const fs::path& path) {
    AtomicFile out(outputs.add(path));
    sort.finish([&](std::span<const Numbers<K>> sorted) {
        out.write(sorted.data(), sorted.size() * sizeof(Numbers<K>));
    });
    out.commit();
}

// take(document, text) for each of a file's, and the records' counts.
template <class Take>
Json each_document(const DedupJob& job, size_t file, size_t units, const Take& take) {
    const Input& input = job.inputs[file];
    RecordReader reader(input.path, job.worker_records(units));
    uint64_t documents = 0, bytes = 0;
    for (Record record; reader.next(record);) {
        if (record.text.empty()) continue;
        if (documents == kMostDocuments)
            fail("{}: more than {} documents, wanted smaller files", input.path.string(),
                 kMostDocuments);
        bytes += record.text.size();
        take(documents++, record.text);
    }
    return {{"documents", documents}, {"bytes", bytes}};
}

Json find_anchors(const DedupJob& job, const SubstringOptions& options, size_t file, size_t units,
                  UnitOutputs& outputs) {
    ExternalSort<2> sort(outputs.scratch(), "anchors", job.worker_memory(units) / 2);
    AnchorFinder find(static_cast<size_t>(options.length));
    uint64_t count = 0;
    Json counts = each_document(job, file, units, [&](uint64_t document, const std::string& text) {
        for (const Anchor& anchor : find(text)) {
            sort.add({anchor.hash, document << 32 | anchor.at});
            ++count;
        }
    });
    write_sorted(sort, outputs, anchors_path(file));
    counts["anchors"] = count;
    return counts;
}

// The part's anchors whose hash another has, too.
Json find_candidates(const DedupJob& job, const SubstringOptions& options, int part, size_t units,
                     UnitOutputs& outputs) {
    const size_t memory = job.worker_memory(units);
    ExternalSort<2> sort(outputs.scratch(), "candidates", memory / 3);
    Numbers<2> last{};
    bool any = false, sent = false;
    uint64_t last_hash = 0, count = 0;
    const auto send = [&](const Numbers<2>& anchor) {
        sort.add(anchor);
        ++count;
    };
    SortedMerge(files_of_part(job, anchors_path, kAnchorLayout, part, options.parts), memory / 2)
        .run([&](std::span<const MergedRecord> records) {
            for (const MergedRecord& r : records) {
                const uint64_t hash = kAnchorLayout.key(r.data, 0);
                const Numbers<2> anchor = {uint64_t{r.source} << 32 |
                                               kAnchorLayout.value(r.data, 1),
                                           kAnchorLayout.value(r.data, 0)};
                const bool same = any && hash == last_hash;
                if (same && !sent) send(last);
                if (same) send(anchor);
                sent = same;
                any = true;
                last_hash = hash;
                last = anchor;
            }
        });
    write_sorted(sort, outputs, candidates_path(part));
    return {{"candidates", count}};
}

// The texts of a file, asked for by rising numbers.
class Texts {
  public:
    Texts(const DedupJob& job, size_t file, size_t units)
        : path_(job.inputs[file].path), reader_(path_, job.worker_records(units)) {}
    const std::string& of(uint64_t document) {
        while (next_ <= document) {
            if (!reader_.next(record_))
                fail("{}: has no document {}; the file has changed since", path_.string(),
                     document);
            if (!record_.text.empty()) ++next_;
        }
        return record_.text;
    }

  private:
    fs::path path_;
    RecordReader reader_;
    Record record_;
    uint64_t next_ = 0;
};

// Hashes of the windows around the file's candidates.
Json hash_windows(const DedupJob& job, const SubstringOptions& options, size_t file, size_t units,
                  UnitOutputs& outputs) {
    const size_t memory = job.worker_memory(units);
    const auto length = static_cast<size_t>(options.length);
    const size_t gram = AnchorFinder(length).gram();
    const WindowHasher hasher(length);
    Texts texts(job, file, units);
    ExternalSort<3> sort(outputs.scratch(), "windows", memory / 3);
    std::vector<uint32_t> places;
    std::vector<WindowRange> ranges;
    uint64_t document = 0, count = 0;
    const auto end_document = [&] {
        if (places.empty()) return;
        const std::string& text = texts.of(document);
        windows_around(places, text.size(), length, gram, ranges);
        for (const WindowRange& range : ranges)
            hasher(text, range.first, range.last, [&](size_t begin, const WindowHash& hash) {
                sort.add({hash.high, hash.low, document << 32 | begin});
                ++count;
            });
        places.clear();
    };
    std::vector<SortedFile> files;
    for (int part = 0; part < options.parts; ++part) {
        const fs::path path = job.output / candidates_path(part);
        files.push_back({path, kCandidateLayout,
                         lower_record(path, kCandidateLayout, uint64_t{file} << 32),
                         lower_record(path, kCandidateLayout, (uint64_t{file} + 1) << 32)});
    }
    SortedMerge(std::move(files), memory / 4).run([&](std::span<const MergedRecord> records) {
        for (const MergedRecord& r : records) {
            const uint64_t of = kCandidateLayout.key(r.data, 0) & UINT32_MAX;
            if (of != document) end_document();
            document = of;
            places.push_back(static_cast<uint32_t>(kCandidateLayout.key(r.data, 1)));
        }
    });
    end_document();
    write_sorted(sort, outputs, windows_path(file));
    return {{"windows", count}};
}

Json find_gone(const DedupJob& job, const SubstringOptions& options, int part, size_t units,
               UnitOutputs& outputs) {
    return {{"windows", write_gone_of_equal(job, windows_path, kWindowLayout, options.keep, part,
                                            options.parts, units, outputs)}};
}

class SubstringRemover final : public PieceRemover {
  public:
    // numbers: beginnings and ends, in turn.
    Left remove(std::string_view text, const std::vector<uint32_t>& numbers,
                std::string& out) override {
        if (numbers.size() % 2 != 0 || numbers.back() > text.size())
            fail("a document of {} bytes, of which some up to {} are to go; the file has changed "
                 "since",
                 text.size(), numbers.back());
        const auto inside = [&](size_t i) { // a character
            return i < text.size() && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80;
        };
        out.clear();
        size_t kept = 0; // up to here it was looked at
        for (size_t i = 0; i < numbers.size(); i += 2) {
            size_t begin = numbers[i], end = numbers[i + 1];
            while (inside(begin)) ++begin;
            while (inside(end)) --end;
            out.append(text, kept, begin - kept);
            kept = std::max(begin, end);
        }
        out.append(text, kept);
        const bool stays = out.find_first_not_of(" \t\r\n") != std::string::npos;
        return {stays, numbers.size() / 2, numbers.size() / 2};
    }
};

using UnitOfFile = Json (*)(const DedupJob&, const SubstringOptions&, size_t, size_t, UnitOutputs&);

Stage per_file(const DedupJob& job, const SubstringOptions& options, const std::string& name,
               const std::string& parameters, UnitOfFile run, const std::string& after) {
    return stage_of_files(job, name, parameters, after,
                          [&job, &options, run](size_t file, UnitOutputs& outputs) {
                              return run(job, options, file, job.inputs.size(), outputs);
                          });
}

using UnitOfPart = Json (*)(const DedupJob&, const SubstringOptions&, int, size_t, UnitOutputs&);

Stage per_part(const DedupJob& job, const SubstringOptions& options, const std::string& name,
               UnitOfPart run, const std::string& after) {
    return stage_of_parts(
        options.parts, name,
        fmt::format("keep={} parts={}", static_cast<int>(options.keep), options.parts), after,
        [&job, &options, run](int part, UnitOutputs& outputs) {
            return run(job, options, part, static_cast<size_t>(options.parts), outputs);
        });
}

} // namespace

std::vector<StageMaker> substring_stages(const DedupJob& job, const SubstringOptions& options) {
    using Digest = const std::string&;
    const std::string parameters =
        fmt::format("{} length={}", job.record_parameters(), options.length);
    return {{"anchors",
             [&, parameters](Digest after) {
                 return per_file(job, options, "anchors", parameters, find_anchors, after);
             }},
            {"candidates",
             [&](Digest after) {
                 return per_part(job, options, "candidates", find_candidates, after);
             }},
            {"windows",
             [&, parameters](Digest after) {
                 return per_file(job, options, "windows", parameters, hash_windows, after);
             }},
            {"duplicates",
             [&](Digest after) { return per_part(job, options, "duplicates", find_gone, after); }},
            {"clusters",
             [&](Digest after) {
                 return divide_stage(job, options.parts, GoneForm::windows,
                                     static_cast<size_t>(options.length), after);
             }},
            {"filter", [&](Digest after) {
                 return piece_filter_stage(
                     job, "substrings", [] { return std::make_unique<SubstringRemover>(); }, after);
             }}};
}

} // namespace tnl::corpus
