#include "corpus/dedup/cluster_files.h"

#include "base/check.h"

#include <algorithm>
#include <fstream>

namespace tnl::corpus {
namespace fs = std::filesystem;

void read_edges(const std::vector<fs::path>& paths, bool ignore_indexed,
                const std::function<void(std::span<const Edge>)>& take) {
    std::vector<Edge> block(65536);
    for (const fs::path& path : paths) {
        std::ifstream stream(path, std::ios::binary);
        if (!stream) fail("{}: cannot open", path.string());
        while (stream) {
            stream.read(reinterpret_cast<char*>(block.data()),
                        static_cast<std::streamsize>(block.size() * sizeof(Edge)));
            const auto bytes = static_cast<size_t>(stream.gcount());
            if (stream.bad()) fail("{}: cannot read", path.string());
            if (bytes % sizeof(Edge) != 0)
                fail("{}: ends within a record of {} bytes; the file is damaged", path.string(),
                     sizeof(Edge));
            size_t n = bytes / sizeof(Edge);
            if (ignore_indexed) {
                const auto end =
                    std::remove_if(block.begin(), block.begin() + static_cast<ptrdiff_t>(n),
                                   [](const Edge& e) { return e.file1 == kIndexed; });
                n = static_cast<size_t>(end - block.begin());
            }
            take({block.data(), n});
        }
    }
}

ClusterFiles::ClusterFiles(fs::path output, const ClusterOptions& options)
    : output_(std::move(output)), options_(options) {}
ClusterFiles::~ClusterFiles() = default;

void ClusterFiles::put(std::optional<AtomicFile>& file, const char* suffix,
                       std::initializer_list<uint32_t> values) {
    if (!file) file.emplace(output_ / fmt::format("{:06}.{}", *at_, suffix));
    for (const uint32_t value : values) file->write(&value, sizeof value);
}

void ClusterFiles::add(uint32_t file, uint32_t document, bool removed, uint64_t id, uint64_t size) {
    if (at_ && *at_ != file) commit();
    at_ = file;
    const auto narrow = [](uint64_t x) {
        return static_cast<uint32_t>(std::min<uint64_t>(x, UINT32_MAX));
    };
    if (removed) {
        put(remove_, "remove", {document});
        ++removed_;
    }
    if (options_.ids) put(clusters_, "clusters", {document, narrow(id)});
    if (options_.sizes) put(sizes_, "sizes", {document, narrow(size)});
}

void ClusterFiles::commit() {
    for (std::optional<AtomicFile>* file : {&remove_, &clusters_, &sizes_})
        if (*file) {
            (*file)->commit();
            file->reset();
        }
}

DocumentTable::DocumentTable(const std::vector<fs::path>& paths, bool ignore_indexed) {
    constexpr uint32_t kFiles = 1 << 26; // a number beyond it is damage, not a file
    std::vector<uint64_t> counts;
    const auto see = [&](uint32_t file, uint32_t document) {
        if (file == kIndexed) return;
        if (file >= kFiles)
            fail("an edge names file {}, wanted at most {}; a .dups file is damaged", file, kFiles);
        if (file >= counts.size()) counts.resize(file + 1);
        counts[file] = std::max<uint64_t>(counts[file], uint64_t{document} + 1);
    };
    read_edges(paths, ignore_indexed, [&](std::span<const Edge> edges) {
        edges_ += edges.size();
        for (const Edge& edge : edges) {
            see(edge.file1, edge.document1);
            see(edge.file2, edge.document2);
        }
    });
    for (const uint64_t count : counts) {
        first_.push_back(size_);
        size_ += count;
    }
    first_.push_back(size_);
}

size_t table_bytes(const DocumentTable& table, const ClusterOptions& options) {
    const bool sized = options.sizes || options.survivor == Survivor::largest;
    return table.size() * sizeof(uint32_t) * (size_t{1} + sized + options.ids);
}

std::vector<std::pair<std::string_view, Survivor>> enum_names(Survivor) {
    return {{"first", Survivor::first}, {"largest", Survivor::largest}};
}

ClusterCounts find_clusters(const std::vector<fs::path>& duplicates, const fs::path& output,
                            const ClusterOptions& options) {
    const DocumentTable table(duplicates, options.ignore_indexed);
    const size_t needed = table_bytes(table, options);
    if (needed <= options.memory && table.size() < UINT32_MAX)
        return clusters_by_table(duplicates, table, output, options);
    if (options.survivor != Survivor::first)
        fail("the survivors of union by size need a table of {} documents, {:.1f} GB, where {:.1f} "
             "GB may be used; wanted more memory, or survivor 'first', which needs no table",
             table.size(), static_cast<double>(needed) * 1e-9,
             static_cast<double>(options.memory) * 1e-9);
    return clusters_by_sorting(duplicates, output, options);
}

} // namespace tnl::corpus
