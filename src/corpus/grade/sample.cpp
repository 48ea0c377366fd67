#include "corpus/grade/sample.h"

#include "base/check.h"
#include "base/rng.h"
#include "corpus/dedup/external_sort.h"
#include "corpus/jobs/file_hash.h"
#include "corpus/jobs/process_name.h"
#include "corpus/report/report.h"

#include <algorithm>
#include <bit>
#include <map>
#include <set>

namespace tnl {
std::string_view corpus_grading_page(); // grade.html
} // namespace tnl

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

struct Chosen {
    uint64_t key = 0; // random
    size_t file = 0;
    DocumentScore score;
    friend bool operator<(const Chosen& a, const Chosen& b) {
        return std::tie(a.key, a.file, a.score.index) < std::tie(b.key, b.file, b.score.index);
    }
};
// The documents of one interval and one group: the `most` with the least keys.
struct Cell {
    int64_t documents = 0;
    std::set<Chosen> chosen;
    void add(Chosen one, size_t most) {
        ++documents;
        if (chosen.size() == most && !(one < *chosen.rbegin())) return;
        chosen.insert(std::move(one));
        if (chosen.size() > most) chosen.erase(std::prev(chosen.end()));
    }
};

uint64_t ordered(double value) { return std::bit_cast<uint64_t>(value == 0 ? 0.0 : value); }

// Calls take(file, score) for every document with a value.
template <class F> void each_score(const DedupJob& job, const SampleOptions& options, F&& take) {
    for (size_t file = 0; file < job.inputs.size(); ++file) {
        const fs::path path = score_file(options.scores, job.inputs[file].name);
        if (!fs::exists(path))
            fail("{}: is not there; wanted the scores of {}", path.string(),
                 job.inputs[file].path.string());
        ScoreReader reader(path);
        for (DocumentScore score; reader.next(score);)
            if (score.value(options.by)) take(file, score);
    }
}

// The largest value of each interval but the last.
std::vector<double> edges_of(const DedupJob& job, const SampleOptions& options,
                             const fs::path& scratch) {
    ExternalSort<1> sort(scratch, "values", job.memory / 2);
    int64_t documents = 0, at = 0;
    each_score(job, options, [&](size_t, const DocumentScore& score) {
        sort.add({ordered(*score.value(options.by))});
        ++documents;
    });
    if (documents == 0) fail("{}: no document has a value", options.scores.string());
    std::vector<double> edges;
    sort.finish([&](std::span<const Numbers<1>> values) {
        for (const Numbers<1>& value : values) {
            ++at;
            const auto next = std::ssize(edges) + 1;
            if (next < options.strata &&
                at == std::max<int64_t>(documents * next / options.strata, 1))
                edges.push_back(std::bit_cast<double>(value[0]));
        }
    });
    return edges;
}

// At a character's beginning.
std::string cut(const std::string& text, size_t most) {
    if (text.size() <= most) return text;
    while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
    return text.substr(0, most);
}

struct Drawn {
    Chosen chosen;
    int64_t stratum = 0;
    double weight = 0;
    std::string text;
    size_t bytes = 0;
};

void read_texts(const DedupJob& job, const SampleOptions& options, std::vector<Drawn>& drawn) {
    std::map<std::pair<size_t, int64_t>, Drawn*> wanted;
    for (Drawn& one : drawn) wanted[{one.chosen.file, one.chosen.score.index}] = &one;
    for (size_t file = 0; file < job.inputs.size(); ++file) {
        auto at = wanted.lower_bound({file, 0});
        if (at == wanted.end() || at->first.first != file) continue;
        RecordReader reader(job.inputs[file].path, job.worker_records(1));
        for (Record record; reader.next(record);) {
            if (record.index != at->first.second) continue;
            Drawn& one = *at->second;
            if (record.id != one.chosen.score.id)
                fail("{}: document {} is '{}', its score says '{}'; wanted the scores of this file",
                     job.inputs[file].path.string(), record.index, record.id, one.chosen.score.id);
            one.text = cut(record.text, options.text_bytes);
            one.bytes = record.text.size();
            ++at;
            if (at == wanted.end() || at->first.first != file) break;
        }
        if (at != wanted.end() && at->first.first == file)
            fail("{}: has no document {}; wanted the file that was scored",
                 job.inputs[file].path.string(), at->first.second);
    }
}

} // namespace

Json draw_sample(const DedupJob& job, const SampleOptions& options) {
    const fs::path scratch = fs::temp_directory_path() / ("transnormer-" + process_name());
    fs::create_directories(scratch);
    struct Remove {
        const fs::path& path;
        ~Remove() {
            std::error_code ignored;
            fs::remove_all(path, ignored);
        }
    } const remove{scratch};
    const std::vector<double> edges = edges_of(job, options, scratch);
    // Which cells there are is not known yet: each keeps what the sample would take of it alone.
    const size_t most =
        static_cast<size_t>(std::max<int64_t>(options.documents / options.strata, 1));
    std::map<std::pair<int64_t, Groups>, Cell> cells;
    std::map<Groups, int64_t> groups;
    each_score(job, options, [&](size_t file, const DocumentScore& score) {
        const auto stratum =
            std::lower_bound(edges.begin(), edges.end(), *score.value(options.by)) - edges.begin();
        Groups group;
        for (const Group each : options.per)
            group[static_cast<size_t>(each)] = score.groups[static_cast<size_t>(each)];
        ++groups[group];
        const Philox::Block block =
            Philox{options.seed, file}.block(static_cast<uint64_t>(score.index));
        cells[{stratum, group}].add({uint64_t{block.x[0]} << 32 | block.x[1], file, score}, most);
    });
    const size_t share = std::max<size_t>(most / groups.size(), 1);
    std::vector<Drawn> drawn;
    for (auto& [place, cell] : cells) {
        const size_t taken = std::min(share, cell.chosen.size());
        for (auto at = cell.chosen.begin();
             at != std::next(cell.chosen.begin(), static_cast<ptrdiff_t>(taken)); ++at)
            drawn.push_back({*at, place.first,
                             static_cast<double>(cell.documents) / static_cast<double>(taken), "",
                             0});
    }
    std::sort(drawn.begin(), drawn.end(),
              [](const Drawn& a, const Drawn& b) { return a.chosen < b.chosen; });
    read_texts(job, options, drawn);

    Json documents = Json::array(), per = Json::array();
    std::string names;
    for (const Group group : options.per) per.push_back(name_of(group));
    for (const Drawn& one : drawn) {
        const DocumentScore& score = one.chosen.score;
        const std::string key = fmt::format("{}#{}", job.inputs[one.chosen.file].name, score.index);
        names += key + "\n" + hash_text(one.text) + "\n";
        Json document = {{"key", key},
                         {"id", score.id},
                         {"file", job.inputs[one.chosen.file].name},
                         {"index", score.index},
                         {"value", *score.value(options.by)},
                         {"stratum", one.stratum},
                         {"weight", one.weight}};
        for (size_t i = 0; i < kGroups; ++i)
            if (!score.groups[i].empty())
                document[name_of(static_cast<Group>(i))] = score.groups[i];
        document["bytes"] = one.bytes;
        document["text"] = one.text;
        documents.push_back(std::move(document));
    }
    return {{"sample", hash_text(names).substr(0, 12)},
            {"title", options.title},
            {"by", name_of(options.by)},
            {"per", per},
            {"documents", documents}};
}

std::string grading_page(const Json& sample) {
    std::string page(corpus_grading_page());
    const std::string_view place = "@DATA@";
    // What a grader must not be led by stays out of the page.
    Json shown = sample;
    for (Json& document : shown["documents"])
        for (const char* hidden : {"value", "stratum", "weight"}) document.erase(hidden);
    page.replace(page.find(place), place.size(), embedded_json(shown));
    return page;
}

} // namespace tnl::corpus
