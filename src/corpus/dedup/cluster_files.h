// What the two ways to find clusters (clusters_table.cpp, clusters_external.cpp) share: reading
// edges, writing .remove, .clusters and .sizes.
#pragma once

#include "base/file.h"
#include "corpus/dedup/clusters.h"

#include <functional>
#include <memory>
#include <optional>
#include <span>

namespace tnl::corpus {

// Calls take(edges) in order. Throws naming a file whose size is not that of whole edges.
void read_edges(const std::vector<std::filesystem::path>& paths, bool ignore_indexed,
                const std::function<void(std::span<const Edge>)>& take);

// Documents in increasing order of (file, document).
class ClusterFiles {
  public:
    ClusterFiles(std::filesystem::path output, const ClusterOptions& options);
    ~ClusterFiles();
    ClusterFiles(const ClusterFiles&) = delete;
    ClusterFiles& operator=(const ClusterFiles&) = delete;

    // id and size are written where the options ask for them.
    void add(uint32_t file, uint32_t document, bool removed, uint64_t id, uint64_t size);
    void commit();
    uint64_t removed() const { return removed_; }

  private:
    void put(std::optional<AtomicFile>& file, const char* suffix,
             std::initializer_list<uint32_t> values);
    std::filesystem::path output_;
    const ClusterOptions& options_;
    std::optional<uint32_t> at_;
    std::optional<AtomicFile> remove_, clusters_, sizes_;
    uint64_t removed_ = 0;
};

// A table of all documents up to the last that has an edge: how many it would have.
class DocumentTable {
  public:
    DocumentTable(const std::vector<std::filesystem::path>& paths, bool ignore_indexed);
    uint64_t size() const { return size_; }
    uint64_t edges() const { return edges_; }
    // 0 stands for the earlier corpora; the others increase with (file, document).
    uint64_t operator()(uint32_t file, uint32_t document) const {
        return file == kIndexed ? 0 : first_[file] + document;
    }
    const std::vector<uint64_t>& first() const { return first_; } // of each file; size() at the end

  private:
    std::vector<uint64_t> first_;
    uint64_t size_ = 1, edges_ = 0;
};

size_t table_bytes(const DocumentTable& table, const ClusterOptions& options);

ClusterCounts clusters_by_table(const std::vector<std::filesystem::path>& duplicates,
                                const DocumentTable& table, const std::filesystem::path& output,
                                const ClusterOptions& options);
ClusterCounts clusters_by_sorting(const std::vector<std::filesystem::path>& duplicates,
                                  const std::filesystem::path& output,
                                  const ClusterOptions& options);

} // namespace tnl::corpus
