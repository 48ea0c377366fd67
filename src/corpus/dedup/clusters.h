// Connected components of documents from the edges of .dups files, and which document of each
// stays. What is written is datatrove's: FFFFFF.remove with the documents of file F that go (32
// bits each, increasing); on request FFFFFF.clusters and FFFFFF.sizes with (document, number) for
// every document that is in a cluster.
#pragma once

#include "corpus/dedup/duplicates.h"

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

namespace tnl::corpus {

// first: the smallest (file, document), whatever the order of the edges. largest: the root that
// datatrove's union by size ends with, which depends on that order. A cluster that an earlier
// corpus has a part in goes as a whole.
enum class Survivor { first, largest };
std::vector<std::pair<std::string_view, Survivor>> enum_names(Survivor);

struct ClusterOptions {
    Survivor survivor = Survivor::first;
    bool ids = false, sizes = false; // .clusters and .sizes
    bool ignore_indexed = false;     // leave out edges to earlier corpora
    size_t memory = size_t{1} << 30; // bytes
    std::filesystem::path scratch;   // a directory for temporary files
};
struct ClusterCounts {
    uint64_t edges = 0, documents = 0, clusters = 0, removed = 0;
    bool external = false; // a table of all documents did not fit into memory
};

// Writes into `output`, a directory that exists. duplicates: in this order. Throws where Survivor::
// largest does not fit into memory: only `first` can do without a table of all documents.
ClusterCounts find_clusters(const std::vector<std::filesystem::path>& duplicates,
                            const std::filesystem::path& output, const ClusterOptions& options);

} // namespace tnl::corpus
