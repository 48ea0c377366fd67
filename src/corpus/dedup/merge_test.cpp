#include "corpus/dedup/cluster_files.h"
#include "corpus/dedup/clusters.h"
#include "corpus/dedup/duplicates.h"
#include "corpus/dedup/external_sort.h"

#include "base/check.h"
#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace tnl::corpus {
namespace {
namespace fs = std::filesystem;

class Folder : public testing::Test {
  protected:
    Folder() {
        const auto* info = testing::UnitTest::GetInstance()->current_test_info();
        root = fs::temp_directory_path() /
               fmt::format("tnl_{}_{}_{}", info->test_suite_name(), info->name(), ::getpid());
        fs::remove_all(root);
        fs::create_directories(root);
    }
    ~Folder() override { fs::remove_all(root); }
    fs::path root;
};

using SortedMergeTest = Folder;
using ExternalSortTest = Folder;
using Signatures = Folder;
using Clusters = Folder;

using Record = std::vector<uint64_t>; // keys, then the value

fs::path write_records(const fs::path& path, const RecordLayout& layout,
                       std::vector<Record> records) {
    std::sort(records.begin(), records.end());
    std::string bytes;
    for (const Record& record : records)
        for (size_t i = 0; i < record.size(); ++i)
            bytes.append(reinterpret_cast<const char*>(&record[i]),
                         i < static_cast<size_t>(layout.keys) ? 8 : 4);
    write_file_atomic(path, bytes);
    return path;
}

// Every record with its source, in the order of the merge and in the order of std::sort.
void check_merge(const fs::path& root, const std::vector<std::vector<Record>>& files,
                 size_t memory) {
    const RecordLayout layout{2, 1};
    std::vector<SortedFile> sources;
    std::vector<std::pair<Record, uint32_t>> wanted, got;
    for (uint32_t s = 0; s < files.size(); ++s) {
        sources.push_back({write_records(root / std::to_string(s), layout, files[s]), layout});
        for (const Record& record : files[s]) wanted.push_back({record, s});
    }
    std::sort(wanted.begin(), wanted.end(), [](const auto& x, const auto& y) {
        return std::tuple(x.first[0], x.first[1], x.second, x.first[2]) <
               std::tuple(y.first[0], y.first[1], y.second, y.first[2]);
    });
    SortedMerge(sources, memory).run([&](std::span<const MergedRecord> records) {
        for (const MergedRecord& r : records)
            got.push_back(
                {{layout.key(r.data), layout.key(r.data, 1), layout.value(r.data, 0)}, r.source});
    });
    EXPECT_EQ(got, wanted);
}

TEST_F(SortedMergeTest, OrderOfAnyFiles) {
    std::mt19937_64 random(5);
    for (const int spread : {0, 3, 20, 61}) // of the keys: from all equal to all different
        for (const size_t files : {size_t{1}, size_t{2}, size_t{9}}) {
            std::vector<std::vector<Record>> all(files);
            for (auto& records : all)
                for (size_t n = random() % 3000; n > 0; --n)
                    records.push_back(
                        {random() & ((uint64_t{1} << spread) - 1), random() % 3, random() % 1000});
            check_merge(root, all, 1);       // the least blocks
            check_merge(root, all, 1 << 20); // everything at once
        }
    check_merge(root, {}, 1);
    check_merge(root, {{}, {}}, 1);
    check_merge(root, {{{UINT64_MAX, UINT64_MAX, 1}, {0, 0, 2}}, {{UINT64_MAX, 0, 3}}}, 1);
}

TEST_F(SortedMergeTest, OneKeyInFarMoreRecordsThanABlockHas) {
    std::vector<std::vector<Record>> all(3);
    for (uint64_t i = 0; i < 5000; ++i) {
        all[0].push_back({7, 1, i});
        all[1].push_back({i < 2500 ? uint64_t{7} : uint64_t{9}, i % 2, i});
        all[2].push_back({i, 0, i});
    }
    check_merge(root, all, 1);
}

TEST_F(SortedMergeTest, DamageIsNamed) {
    const RecordLayout layout{2, 1};
    const fs::path path = root / "damaged.sig";
    std::string bytes(60, '\0');
    bytes[7] = 1; // the first of three keys is the largest
    write_file_atomic(path, bytes);
    const auto run = [&] { SortedMerge({{path, layout}}, 1 << 20).run([](auto) {}); };
    EXPECT_THAT(run, testing::ThrowsMessage<Error>(
                         testing::HasSubstr("damaged.sig: record 1 is out of order")));
    write_file_atomic(path, std::string(59, '\0'));
    EXPECT_THAT(run, testing::ThrowsMessage<Error>(
                         testing::HasSubstr("59 bytes, wanted a multiple of the 20")));
}

TEST_F(ExternalSortTest, RunsAndNoRunsAreTheSame) {
    std::mt19937_64 random(2);
    std::vector<Numbers<3>> wanted;
    for (int i = 0; i < 20000; ++i) wanted.push_back({random() % 50, random(), random() % 3});
    std::vector<Numbers<3>> sorted = wanted;
    std::sort(sorted.begin(), sorted.end());
    for (const size_t memory : {size_t{1}, size_t{100000}, size_t{10000000}}) {
        ExternalSort<3> sort(root, "test", memory);
        for (const Numbers<3>& record : wanted) sort.add(record);
        EXPECT_EQ(sort.runs() == 0, memory == 10000000);
        std::vector<Numbers<3>> got;
        sort.finish([&](std::span<const Numbers<3>> piece) {
            got.insert(got.end(), piece.begin(), piece.end());
        });
        EXPECT_EQ(got, sorted);
    }
    EXPECT_TRUE(fs::is_empty(root));
}

TEST_F(Signatures, RunsAndNoRunsAreTheSame) {
    std::mt19937_64 random(8);
    const Bands bands{3, 2};
    for (const size_t memory : {size_t{1}, size_t{10000000}}) {
        SignatureWriter writer(root / std::to_string(memory), 7, bands, memory);
        random.seed(8);
        for (uint32_t i = 0; i < 2000; ++i) {
            uint64_t signature[6];
            for (uint64_t& x : signature) x = random() % 40;
            writer.add(i * 3, signature);
        }
        const std::vector<fs::path> paths = writer.commit();
        ASSERT_EQ(paths.size(), 3U);
        EXPECT_EQ(paths[2], root / std::to_string(memory) / "bucket_002" / "00007.minhash.sig");
        EXPECT_EQ(count_records(paths[0], bands.layout()), 2000U);
    }
    for (int band = 0; band < 3; ++band)
        EXPECT_EQ(read_file(signature_path(root / "1", band, 7)),
                  read_file(signature_path(root / "10000000", band, 7)));
    size_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(root))
        files += entry.is_regular_file();
    EXPECT_EQ(files, 6U); // no runs are left
}

std::vector<Edge> edges_of(const fs::path& path) {
    const std::string bytes = read_file(path);
    std::vector<Edge> out(bytes.size() / sizeof(Edge));
    if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
}
std::vector<std::array<uint32_t, 4>> tuples(const fs::path& path) {
    std::vector<std::array<uint32_t, 4>> out;
    for (const Edge& e : edges_of(path))
        out.push_back({e.file1, e.document1, e.file2, e.document2});
    return out;
}

TEST_F(Signatures, NeighboursIndexesAndParts) {
    const Bands bands{1, 2};
    BandTask task;
    task.bands = bands;
    task.files = {
        {write_records(root / "a", bands.layout(), {{1, 1, 0}, {5, 5, 1}, {5, 6, 2}, {9, 9, 3}}),
         0},
        {write_records(root / "b", bands.layout(), {{5, 5, 0}, {5, 5, 4}, {9, 9, 1}, {1, 2, 2}}),
         3}};
    task.duplicates = root / "0.dups";
    BandCounts counts = find_duplicates(task);
    using Tuples = std::vector<std::array<uint32_t, 4>>;
    const Tuples wanted = {{0, 1, 3, 0}, {3, 0, 3, 4}, {0, 3, 3, 1}};
    EXPECT_EQ(tuples(task.duplicates), wanted);
    EXPECT_EQ(counts.records, 8U);
    EXPECT_EQ(counts.edges, 3U);

    // Parts, one after the other, are the whole.
    const std::vector<uint64_t> keys = split_keys(task.files, bands, 3);
    Tuples parts;
    for (size_t i = 0; i < 3; ++i) {
        task.least = keys[i], task.most = keys[i + 1];
        find_duplicates(task);
        for (const auto& t : tuples(task.duplicates)) parts.push_back(t);
    }
    EXPECT_EQ(parts, wanted);

    // An earlier corpus: its own signatures are in no edge; what it lacks goes into the new index.
    task.least = 0, task.most = UINT64_MAX;
    task.indexes = {write_records(root / "old", bands.index_layout(), {{5, 5}, {1, 2}, {7, 7}})};
    task.index = root / "new";
    counts = find_duplicates(task);
    const uint32_t x = kIndexed;
    EXPECT_EQ(tuples(task.duplicates), (Tuples{{x, x, 3, 2}, {x, x, 0, 1}}));
    EXPECT_EQ(counts.indexed, 2U);
    const fs::path index =
        write_records(root / "wanted", bands.index_layout(), {{1, 1}, {5, 6}, {9, 9}});
    EXPECT_EQ(read_file(task.index), read_file(index));
    task.only_indexed = false;
    find_duplicates(task);
    EXPECT_EQ(tuples(task.duplicates),
              (Tuples{{x, x, 3, 2}, {x, x, 0, 1}, {0, 1, 3, 0}, {3, 0, 3, 4}, {0, 3, 3, 1}}));
}

// The smallest document of each component, by repeated passes over the edges.
std::map<std::pair<uint32_t, uint32_t>, std::pair<uint32_t, uint32_t>>
labels(const std::vector<Edge>& edges) {
    std::map<std::pair<uint32_t, uint32_t>, std::pair<uint32_t, uint32_t>> out;
    const auto order = [](std::pair<uint32_t, uint32_t> x) {
        return std::pair(x.first + 1, x.second);
    }; // kIndexed first
    for (bool changed = true; changed;) {
        changed = false;
        for (const Edge& e : edges) {
            const std::pair a{e.file1, e.document1}, b{e.file2, e.document2};
            auto& x = out.try_emplace(a, a).first->second;
            auto& y = out.try_emplace(b, b).first->second;
            if (x == y) continue;
            x = y = order(x) < order(y) ? x : y;
            changed = true;
        }
    }
    return out;
}

std::map<std::string, std::string> contents(const fs::path& folder) {
    std::map<std::string, std::string> out;
    for (const auto& entry : fs::directory_iterator(folder))
        out[entry.path().filename().string()] = read_file(entry.path());
    return out;
}

TEST_F(Clusters, TableAndSortingAgreeWithLabels) {
    std::mt19937 random(4);
    const auto any = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
    for (const bool indexed : {false, true})
        for (const uint32_t documents : {20U, 400U, 3000U})
            for (const int chains : {0, 1}) {
                std::vector<Edge> edges;
                for (uint32_t i = 0; i < 900; ++i) {
                    Edge e{any(3), any(documents), any(3), any(documents)};
                    if (chains != 0) e = {0, i, 0, i + 1}; // one long path
                    if (indexed && i % 90 == 0) e.file1 = e.document1 = kIndexed;
                    if (e.file1 != e.file2 || e.document1 != e.document2) edges.push_back(e);
                }
                const fs::path path = root / "x.dups";
                write_file_atomic(path, {reinterpret_cast<const char*>(edges.data()),
                                         edges.size() * sizeof(Edge)});
                std::map<std::string, std::vector<uint32_t>> removed;
                for (const auto& [document, least] : labels(edges))
                    if (document != least)
                        removed[fmt::format("{:06}.remove", document.first)].push_back(
                            document.second);
                std::map<std::string, std::string> wanted;
                for (const auto& [name, list] : removed)
                    wanted[name].assign(reinterpret_cast<const char*>(list.data()),
                                        list.size() * 4);

                std::map<std::string, std::string> numbered[2];
                for (const bool ids : {false, true})
                    for (const bool external : {false, true}) {
                        const fs::path out = root / fmt::format("{}{}", ids, external);
                        fs::remove_all(out);
                        fs::create_directories(out);
                        ClusterOptions options;
                        options.ids = options.sizes = ids;
                        options.scratch = root;
                        if (external) options.memory = 64;
                        const ClusterCounts counts = find_clusters({path}, out, options);
                        EXPECT_EQ(counts.external, external);
                        EXPECT_EQ(counts.edges, edges.size());
                        auto files = contents(out);
                        if (ids) numbered[external] = files;
                        std::erase_if(files,
                                      [](const auto& f) { return !f.first.ends_with(".remove"); });
                        EXPECT_EQ(files, wanted)
                            << indexed << documents << chains << ids << external;
                    }
                EXPECT_EQ(numbered[0], numbered[1]);
                EXPECT_GT(numbered[0].size(), removed.size());
            }
}

TEST_F(Clusters, LargestNeedsATable) {
    const std::vector<Edge> edges = {{0, 5, 0, 9}, {0, 1, 0, 9}};
    const fs::path path = root / "x.dups";
    write_file_atomic(path,
                      {reinterpret_cast<const char*>(edges.data()), edges.size() * sizeof(Edge)});
    ClusterOptions options;
    options.survivor = Survivor::largest;
    options.scratch = root;
    find_clusters({path}, root, options);
    const uint32_t removed[2] = {1, 9}; // 5 took 9 first, and the two of them took 1
    EXPECT_EQ(read_file(root / "000000.remove"),
              std::string(reinterpret_cast<const char*>(removed), 8));
    options.memory = 10;
    EXPECT_THAT([&] { find_clusters({path}, root, options); },
                testing::ThrowsMessage<Error>(
                    testing::HasSubstr("wanted more memory, or survivor 'first'")));
}

} // namespace
} // namespace tnl::corpus
