// Connected components by sorting edges, for any number of documents: large-star and small-star
// (Kiveris et al., Connected Components in MapReduce and Beyond, SoCC 2014) in turn, until every
// document has one edge, to the least of its component.
#include "base/check.h"
#include "corpus/dedup/cluster_files.h"
#include "corpus/dedup/external_sort.h"

#include <xxhash.h>

#include <fstream>

namespace tnl::corpus {
namespace {

// A document as a number: 0 for earlier corpora, else file and document so that order is kept.
uint64_t node(uint32_t file, uint32_t document) {
    return file == kIndexed ? 0 : (uint64_t{file} + 1) << 32 | document;
}

using Sort = ExternalSort<2>;
using Pair = Numbers<2>;

// Calls take(first, second, least, begins) for pairs in order, each once: `least` is the smallest
// second of the pairs with this first, `begins` whether this is the first of them.
template <class F> void each_pair(Sort& sort, F&& take) {
    Pair last{};
    uint64_t least = 0;
    bool any = false;
    sort.finish([&](std::span<const Pair> pairs) {
        for (const Pair& pair : pairs) {
            if (any && pair == last) continue;
            const bool begins = !any || pair[0] != last[0];
            if (begins) least = pair[1];
            take(pair[0], pair[1], least, begins);
            last = pair;
            any = true;
        }
    });
}

// What tells two sets of edges apart, whatever their order.
struct Digest {
    uint64_t count = 0, sum = 0;
    void add(uint64_t u, uint64_t v) {
        const Pair pair{u, v};
        ++count;
        sum += XXH3_64bits(pair.data(), sizeof pair);
    }
    bool operator==(const Digest&) const = default;
};

class Components {
  public:
    Components(const ClusterOptions& options) : options_(options) {}

    void add(uint64_t u, uint64_t v) {
        if (u != v) both(*edges_, u, v);
    }
    // Rounds until nothing changes; then edges_ is a forest of stars.
    void contract() {
        Digest before;
        for (int round = 0;; ++round) {
            TNL_CHECK(round < 200, "connected components after {} rounds", round);
            std::unique_ptr<Sort> large = std::move(edges_), small = make("small");
            each_pair(*large, [&](uint64_t u, uint64_t v, uint64_t least, bool) {
                const uint64_t m = std::min(u, least);
                if (v > u) small->add({v, m});
            });
            large.reset();
            edges_ = make("large");
            Digest after;
            const auto edge = [&](uint64_t u, uint64_t v) {
                after.add(u, v);
                both(*edges_, u, v);
            };
            each_pair(*small, [&](uint64_t u, uint64_t v, uint64_t least, bool begins) {
                if (begins)
                    edge(u, least);
                else
                    edge(v, least);
            });
            if (after == before) return;
            before = after;
        }
    }
    // Calls take(node, root) for every node in order, roots included.
    template <class F> void roots(F&& take) {
        each_pair(*edges_, [&](uint64_t u, uint64_t, uint64_t least, bool begins) {
            if (begins) take(u, std::min(u, least));
        });
    }
    std::unique_ptr<Sort> make(const char* name) const {
        return std::make_unique<Sort>(options_.scratch, fmt::format("{}.{}", name, ++made_),
                                      options_.memory / 2);
    }

  private:
    static void both(Sort& sort, uint64_t u, uint64_t v) {
        sort.add({u, v});
        sort.add({v, u});
    }
    const ClusterOptions& options_;
    mutable int made_ = 0;
    std::unique_ptr<Sort> edges_ = make("edges");
};

// Documents with their root, in order, to documents with number and size of their cluster, in
// order. Clusters are numbered by their first document.
class Numbering {
  public:
    explicit Numbering(const Components& components, const ClusterOptions& options)
        : options_(options), by_root_(components.make("roots")) {}

    void add(uint64_t document, uint64_t root) {
        if (root == 0) {
            if (indexed_ == 0) indexed_ = document; // stands for the root, to be numbered as others
            root = indexed_;
        }
        by_root_->add({root, document});
    }
    template <class F> void finish(F&& take) {
        // The size of a cluster is known at its end: pairs and sizes are written, then read again.
        const std::filesystem::path pairs_path = options_.scratch / "pairs.tmp";
        const std::filesystem::path sizes_path = options_.scratch / "sizes.tmp";
        {
            AtomicFile pairs(pairs_path), sizes(sizes_path);
            uint64_t root = 0, size = 0;
            const auto close = [&] {
                size += root == indexed_;
                if (root != 0) sizes.write(&size, sizeof size);
                size = 0;
            };
            each_pair(*by_root_, [&](uint64_t u, uint64_t v, uint64_t, bool begins) {
                if (begins) close();
                root = u;
                ++size;
                const Pair pair{u, v};
                pairs.write(pair.data(), sizeof pair);
            });
            close();
            pairs.commit();
            sizes.commit();
        }
        by_root_.reset();
        ExternalSort<3> by_document(options_.scratch, "numbers", options_.memory / 2);
        std::ifstream pairs(pairs_path, std::ios::binary), sizes(sizes_path, std::ios::binary);
        uint64_t root = 0, size = 0, id = 0;
        for (Pair pair; pairs.read(reinterpret_cast<char*>(pair.data()), sizeof pair);) {
            if (pair[0] != root) {
                id += root != 0;
                if (!sizes.read(reinterpret_cast<char*>(&size), sizeof size))
                    fail("{}: cannot read", sizes_path.string());
                root = pair[0];
            }
            by_document.add({pair[1], id, size});
        }
        std::filesystem::remove(pairs_path);
        std::filesystem::remove(sizes_path);
        by_document.finish([&](std::span<const Numbers<3>> records) {
            for (const Numbers<3>& record : records) take(record[0], record[1], record[2]);
        });
    }
    uint64_t indexed() const { return indexed_; } // its first document, or 0

  private:
    const ClusterOptions& options_;
    std::unique_ptr<Sort> by_root_;
    uint64_t indexed_ = 0;
};

} // namespace

ClusterCounts clusters_by_sorting(const std::vector<std::filesystem::path>& duplicates,
                                  const std::filesystem::path& output,
                                  const ClusterOptions& options) {
    ClusterCounts counts;
    counts.external = true;
    Components components(options);
    read_edges(duplicates, options.ignore_indexed, [&](std::span<const Edge> edges) {
        counts.edges += edges.size();
        for (const Edge& e : edges)
            components.add(node(e.file1, e.document1), node(e.file2, e.document2));
    });
    components.contract();

    ClusterFiles files(output, options);
    const auto add = [&](uint64_t document, bool removed, uint64_t id, uint64_t size) {
        files.add(static_cast<uint32_t>((document >> 32) - 1), static_cast<uint32_t>(document),
                  removed, id, size);
    };
    const bool numbered = options.ids || options.sizes;
    Numbering numbering(components, options);
    components.roots([&](uint64_t document, uint64_t root) {
        counts.clusters += document == root;
        if (document == 0) return;
        ++counts.documents;
        if (numbered)
            numbering.add(document, root);
        else
            add(document, document != root, 0, 0);
    });
    uint64_t seen = 0;
    if (numbered)
        numbering.finish([&](uint64_t document, uint64_t id, uint64_t size) {
            const bool first = id == seen; // clusters are numbered by their first documents
            seen += first;
            add(document, !first || document == numbering.indexed(), id, size);
        });
    files.commit();
    counts.removed = files.removed();
    return counts;
}

} // namespace tnl::corpus
