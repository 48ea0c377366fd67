#include "corpus/dedup/duplicates.h"

#include "base/check.h"
#include "base/file.h"

#include <algorithm>
#include <cstring>
#include <fstream>

namespace tnl::corpus {

BandCounts find_duplicates(const BandTask& task) {
    const RecordLayout layout = task.bands.layout(), index_layout = task.bands.index_layout();
    const size_t key_bytes = index_layout.bytes();
    std::vector<SortedFile> sources;
    const auto add = [&](const std::filesystem::path& path, const RecordLayout& its) {
        const auto edge = [&](uint64_t key) { return lower_record(path, its, key); };
        sources.push_back({path, its, task.least == 0 ? 0 : edge(task.least),
                           task.most == UINT64_MAX ? UINT64_MAX : edge(task.most)});
    };
    // Indexes first: of equal signatures theirs come first.
    for (const std::filesystem::path& path : task.indexes) add(path, index_layout);
    for (const SignatureFile& file : task.files) add(file.path, layout);

    BandCounts counts;
    AtomicFile out(task.duplicates);
    std::optional<AtomicFile> index;
    if (!task.index.empty()) index.emplace(task.index);
    const bool among = task.indexes.empty() || !task.only_indexed;
    const auto is_indexed = [&](const MergedRecord& r) { return r.source < task.indexes.size(); };
    const auto file_of = [&](const MergedRecord& r) {
        return is_indexed(r) ? kIndexed : task.files[r.source - task.indexes.size()].file;
    };
    const auto document_of = [&](const MergedRecord& r) {
        return is_indexed(r) ? kIndexed : layout.value(r.data, 0);
    };
    // The record that stood before, and its bytes where it is of an earlier call.
    MergedRecord last{};
    std::vector<char> bytes(layout.bytes());
    SortedMerge(std::move(sources), task.memory).run([&](std::span<const MergedRecord> records) {
        counts.records += records.size();
        for (const MergedRecord& record : records) {
            const bool equal = last.data != nullptr && last.key == record.key &&
                               std::memcmp(last.data, record.data, key_bytes) == 0;
            if (!equal && index && !is_indexed(record)) index->write(record.data, key_bytes);
            if (equal && !is_indexed(record) && (is_indexed(last) || among)) {
                const Edge edge{file_of(last), document_of(last), file_of(record),
                                document_of(record)};
                out.write(&edge, sizeof edge);
                ++counts.edges;
                counts.indexed += is_indexed(last);
            }
            last = record;
        }
        std::memcpy(bytes.data(), last.data, is_indexed(last) ? key_bytes : bytes.size());
        last.data = bytes.data();
    });
    out.commit();
    if (index) index->commit();
    return counts;
}

std::vector<uint64_t> split_keys(const std::vector<SignatureFile>& files, const Bands& bands,
                                 int parts) {
    constexpr size_t kFiles = 64, kKeys = 1024;
    const RecordLayout layout = bands.layout();
    std::vector<uint64_t> keys;
    const size_t n = std::min(files.size(), kFiles);
    for (size_t i = 0; i < n && parts > 1; ++i) {
        const SignatureFile& file = files[i * files.size() / n];
        const uint64_t records = count_records(file.path, layout);
        std::ifstream stream(file.path, std::ios::binary);
        const uint64_t samples = std::min<uint64_t>(records, kKeys);
        for (uint64_t k = 0; k < samples; ++k) {
            char key[8];
            stream.seekg(static_cast<std::streamoff>((k * records / samples) * layout.bytes()));
            if (!stream.read(key, sizeof key)) fail("{}: cannot read", file.path.string());
            keys.push_back(layout.key(key));
        }
    }
    std::sort(keys.begin(), keys.end());
    std::vector<uint64_t> out = {0};
    for (size_t part = 1; part < static_cast<size_t>(parts); ++part)
        out.push_back(keys.empty() ? 0 : keys[part * keys.size() / static_cast<size_t>(parts)]);
    out.push_back(UINT64_MAX);
    return out;
}

} // namespace tnl::corpus
