#include "corpus/report/near_duplicates.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/dedup/clusters.h"
#include "corpus/dedup/external_sort.h"
#include "corpus/io/record_reader.h"
#include "corpus/jobs/process_name.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

constexpr size_t kShownDocuments = 3;
constexpr size_t kShownBytes = 600;

struct Place {
    uint32_t file = 0, document = 0;
    bool operator<(const Place& other) const {
        return std::pair(file, document) < std::pair(other.file, other.document);
    }
};
struct Cluster {
    uint64_t size = 0;
    std::vector<Place> first; // in order
};

// A directory that goes at the end.
struct Scratch {
    fs::path path;
    explicit Scratch(fs::path at) : path(std::move(at)) {
        fs::remove_all(path);
        fs::create_directories(path);
    }
    ~Scratch() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
};

std::vector<fs::path> sorted_files(const fs::path& directory, const std::string& extension) {
    std::vector<fs::path> out;
    for (const auto& entry : fs::directory_iterator(directory))
        if (entry.path().extension() == extension) out.push_back(entry.path());
    std::sort(out.begin(), out.end());
    return out;
}

// Calls each(file, document, cluster).
template <class F> void read_clusters(const fs::path& path, F&& each) {
    const auto file = static_cast<uint32_t>(std::stoul(path.stem().string()));
    const MappedFile bytes(path);
    for (size_t at = 0; at + 8 <= bytes.size(); at += 8) {
        uint32_t pair[2];
        std::memcpy(pair, bytes.data() + at, sizeof pair);
        each(file, pair[0], pair[1]);
    }
}

// At a character's beginning.
std::string cut(const std::string& text) {
    if (text.size() <= kShownBytes) return text;
    size_t end = kShownBytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    return text.substr(0, end) + " ...";
}

struct Shown {
    std::string file, id, text;
};

// The documents of one file; dedup numbers those whose text is not empty.
void read_documents(const fs::path& path, uint32_t file, std::map<Place, Shown>& wanted) {
    if (!fs::exists(path))
        fail("{}: is not there any more; wanted the file that dedup read, for examples, or "
             "--examples 0",
             path.string());
    RecordOptions options;
    options.bad_record = BadRecord::skip;
    RecordReader reader(path, options);
    const auto last = std::prev(wanted.upper_bound({file, UINT32_MAX}))->first.document;
    uint32_t document = 0;
    for (Record record; reader.next(record);) {
        if (record.text.empty()) continue;
        if (const auto at = wanted.find({file, document}); at != wanted.end())
            at->second = {path.filename().string(), record.id, cut(record.text)};
        if (document++ == last) break;
    }
}

class Clusters {
  public:
    Clusters(const fs::path& scratch, size_t memory, int examples)
        : most_(static_cast<size_t>(examples)), sort_(scratch, "clusters", memory) {}
    void add(uint32_t file, uint32_t document, uint32_t cluster) {
        sort_.add({cluster, uint64_t{file} << 32 | document});
    }
    void finish() {
        uint64_t id = 0;
        Cluster at;
        sort_.finish([&](std::span<const Numbers<2>> records) {
            for (const Numbers<2>& record : records) {
                if (at.size > 0 && record[0] != id) close(at);
                id = record[0];
                if (at.size++ < kShownDocuments)
                    at.first.push_back(
                        {static_cast<uint32_t>(record[1] >> 32), static_cast<uint32_t>(record[1])});
            }
        });
        if (at.size > 0) close(at);
    }
    Json sizes() const {
        Json out = Json::array();
        for (const auto& [width, number] : sizes_) {
            const uint64_t from = width <= 2 ? 2 : uint64_t{1} << (width - 1);
            out.push_back(
                {{"from", from}, {"to", (uint64_t{1} << width) - 1}, {"clusters", number}});
        }
        return out;
    }
    std::vector<Cluster> largest;
    uint64_t clusters = 0, documents = 0;

  private:
    void close(Cluster& cluster) {
        ++clusters;
        documents += cluster.size;
        ++sizes_[static_cast<int>(std::bit_width(cluster.size))];
        // Of equal ones the first stays.
        const auto place = std::find_if(largest.begin(), largest.end(), [&](const Cluster& other) {
            return other.size < cluster.size;
        });
        largest.insert(place, std::move(cluster));
        if (largest.size() > most_) largest.pop_back();
        cluster = {};
    }
    size_t most_;
    ExternalSort<2> sort_;
    std::map<int, uint64_t> sizes_; // by bit width: 2 to 3, 4 to 7, ...
};

} // namespace

std::vector<fs::path> manifests(const fs::path& workspace, const std::string& prefix) {
    std::vector<fs::path> out;
    const fs::path directory = workspace / "manifest";
    if (!fs::exists(directory)) return out;
    for (const auto& entry : fs::directory_iterator(directory))
        if (entry.path().filename().string().starts_with(prefix)) out.push_back(entry.path());
    std::sort(out.begin(), out.end());
    return out;
}

Json near_duplicates(const fs::path& workspace, size_t memory, int examples) {
    const Scratch scratch(workspace / "scratch" / process_name() / "report");
    ClusterOptions options;
    options.ids = true;
    options.memory = memory / 2;
    options.scratch = scratch.path;
    find_clusters(sorted_files(workspace / "duplicates", ".dups"), scratch.path, options);
    Clusters clusters(scratch.path, memory / 4, examples);
    for (const fs::path& path : sorted_files(scratch.path, ".clusters"))
        read_clusters(path, [&](uint32_t file, uint32_t document, uint32_t cluster) {
            clusters.add(file, document, cluster);
        });
    clusters.finish();

    std::map<Place, Shown> wanted;
    for (const Cluster& cluster : clusters.largest)
        for (const Place& place : cluster.first) wanted[place];
    const std::vector<fs::path> filters = manifests(workspace, "filter-");
    for (auto at = wanted.begin(); at != wanted.end();) {
        const uint32_t file = at->first.file;
        if (file >= filters.size())
            fail("{}: a cluster names file {}, but dedup read {}", workspace.string(), file,
                 filters.size());
        const Json said = parse_json_file(filters[file]);
        read_documents(said.at("inputs").at(0).at("path").get<std::string>(), file, wanted);
        at = wanted.upper_bound({file, UINT32_MAX});
    }
    Json out = {{"clusters", clusters.clusters},
                {"documents", clusters.documents},
                {"sizes", clusters.sizes()},
                {"examples", Json::array()}};
    for (const Cluster& cluster : clusters.largest) {
        Json documents = Json::array();
        for (const Place& place : cluster.first) {
            const Shown& shown = wanted.at(place);
            documents.push_back({{"file", shown.file}, {"id", shown.id}, {"text", shown.text}});
        }
        out["examples"].push_back({{"size", cluster.size}, {"documents", documents}});
    }
    return out;
}

} // namespace tnl::corpus
