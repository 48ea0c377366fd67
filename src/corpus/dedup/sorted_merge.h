// Many sorted files of fixed-size records as one sorted sequence, in fixed memory, with large reads
// however many files there are.
//
// Instead of a heap that takes record after record from files read in small pieces, a batch is what
// lies in all files' blocks below the least last key of a block: complete, so that it can be put in
// order by a radix sort of (key, place). Files are open only while a block is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

namespace tnl::corpus {

// Little-endian: `keys` numbers of 64 bits, by which records are sorted, then `values` of 32.
struct RecordLayout {
    int keys = 8, values = 1;
    size_t bytes() const { return static_cast<size_t>(keys) * 8 + static_cast<size_t>(values) * 4; }
    uint64_t key(const char* record, int i = 0) const {
        uint64_t out;
        __builtin_memcpy(&out, record + static_cast<size_t>(i) * 8, 8);
        return out;
    }
    uint32_t value(const char* record, int i) const {
        uint32_t out;
        __builtin_memcpy(&out, record + static_cast<size_t>(keys) * 8 + static_cast<size_t>(i) * 4,
                         4);
        return out;
    }
    // Negative, 0 or positive, by all keys.
    int compare(const char* x, const char* y) const {
        for (int i = 0; i < keys; ++i)
            if (const uint64_t a = key(x, i), b = key(y, i); a != b) return a < b ? -1 : 1;
        return 0;
    }
};

struct SortedFile {
    std::filesystem::path path;
    RecordLayout layout;
    uint64_t begin = 0, end = UINT64_MAX; // the records to read; end past the file's: all
};

struct MergedRecord {
    uint64_t key; // the first; `data` lies anywhere, which is slow to look at
    const char* data;
    uint32_t source; // index of its file
};

// Number of records of a file; throws where its size is not that of whole records.
uint64_t count_records(const std::filesystem::path& path, const RecordLayout& layout);
// The first record whose first key is `key` or more.
uint64_t lower_record(const std::filesystem::path& path, const RecordLayout& layout, uint64_t key);

// Calls take(record) in the order of (keys, source, position in its file). Layouts may differ in
// their values. memory: bytes to use; at least kLeastBlock for each file are taken. Throws naming a
// file that is not sorted or that ends too early.
class SortedMerge {
  public:
    static constexpr size_t kLeastBlock = 16 << 10;

    SortedMerge(std::vector<SortedFile> files, size_t memory);
    void run(const std::function<void(std::span<const MergedRecord>)>& take);

  private:
    struct Source;
    struct Entry {
        uint64_t key;
        uint32_t source, index;
    };
    void fill(Source& source);
    void collect(bool bounded, uint64_t bound);
    void sort();
    void sort_equal(size_t begin, size_t end);
    bool before(const Entry& x, const Entry& y) const;
    const char* at(const Entry& entry) const;
    void heavy(uint64_t key, const std::function<void(std::span<const MergedRecord>)>& take);

    std::vector<Source> sources_;
    std::vector<Entry> entries_, other_;
    std::vector<MergedRecord> merged_;

  public:
    ~SortedMerge();
};

} // namespace tnl::corpus
