// Union-find over a table of all documents.
#include "corpus/dedup/cluster_files.h"

#include <utility>

namespace tnl::corpus {
namespace {

constexpr uint32_t kAbsent = UINT32_MAX;

struct Forest {
    std::vector<uint32_t> parent, size;

    uint32_t root(uint32_t x) {
        if (parent[x] == kAbsent) parent[x] = x;
        while (parent[x] != x) {
            parent[x] = parent[parent[x]]; // halves the path
            x = parent[x];
        }
        return x;
    }
    void join(uint32_t x, uint32_t y, Survivor survivor) {
        uint32_t a = root(x), b = root(y);
        if (a == b) return;
        // 0 stands for earlier corpora, which no document outlives.
        const bool swap = survivor == Survivor::first ? b < a
                          : b == 0                    ? true
                                                      : a != 0 && size[a] < size[b];
        if (swap) std::swap(a, b);
        parent[b] = a;
        if (!size.empty()) size[a] += size[b];
    }
};

} // namespace

ClusterCounts clusters_by_table(const std::vector<std::filesystem::path>& duplicates,
                                const DocumentTable& table, const std::filesystem::path& output,
                                const ClusterOptions& options) {
    Forest forest;
    forest.parent.assign(table.size(), kAbsent);
    if (options.sizes || options.survivor == Survivor::largest) forest.size.assign(table.size(), 1);
    read_edges(duplicates, options.ignore_indexed, [&](std::span<const Edge> edges) {
        for (const Edge& e : edges)
            forest.join(static_cast<uint32_t>(table(e.file1, e.document1)),
                        static_cast<uint32_t>(table(e.file2, e.document2)), options.survivor);
    });

    ClusterCounts counts;
    counts.edges = table.edges();
    std::vector<uint32_t> ids(options.ids ? table.size() : 0, kAbsent);
    uint32_t next_id = 0;
    ClusterFiles files(output, options);
    const std::vector<uint64_t>& first = table.first();
    for (uint32_t file = 0; file + 1 < first.size(); ++file)
        for (uint64_t node = first[file]; node < first[file + 1]; ++node) {
            const auto x = static_cast<uint32_t>(node);
            if (forest.parent[x] == kAbsent) continue;
            const uint32_t root = forest.root(x);
            ++counts.documents;
            counts.clusters += root == x;
            if (options.ids && ids[root] == kAbsent) ids[root] = next_id++;
            files.add(file, static_cast<uint32_t>(node - first[file]), root != x,
                      options.ids ? ids[root] : 0, forest.size.empty() ? 0 : forest.size[root]);
        }
    files.commit();
    counts.clusters += forest.parent[0] != kAbsent; // what earlier corpora have
    counts.removed = files.removed();
    return counts;
}

} // namespace tnl::corpus
