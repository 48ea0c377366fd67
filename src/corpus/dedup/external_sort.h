// Sorting records of K 64-bit numbers, more of them than fit into memory: sorted runs in temporary
// files, then a merge.
#pragma once

#include "base/file.h"
#include "corpus/dedup/sorted_merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

namespace tnl::corpus {

template <size_t K> using Numbers = std::array<uint64_t, K>;

template <size_t K> class ExternalSort {
  public:
    // memory: bytes. Runs are files <directory>/<name>.<number>.run, removed at the end; the
    // directory has to exist.
    ExternalSort(std::filesystem::path directory, std::string name, size_t memory)
        : directory_(std::move(directory)), name_(std::move(name)), memory_(memory),
          most_(std::max<size_t>(memory / sizeof(Numbers<K>), 1024)) {}
    ~ExternalSort() {
        std::error_code ignored;
        for (const SortedFile& run : runs_) std::filesystem::remove(run.path, ignored);
    }
    ExternalSort(const ExternalSort&) = delete;
    ExternalSort& operator=(const ExternalSort&) = delete;

    void add(const Numbers<K>& record) {
        if (records_.size() == most_) spill();
        if (records_.size() == records_.capacity()) // doubling must not pass the limit
            records_.reserve(std::min(most_, std::max<size_t>(1024, records_.size() * 2)));
        records_.push_back(record);
    }
    size_t runs() const { return runs_.size(); }

    // Calls take(records) with all of them in order, in pieces that are valid during the call.
    // Once.
    void finish(const std::function<void(std::span<const Numbers<K>>)>& take) {
        if (runs_.empty()) {
            std::sort(records_.begin(), records_.end());
            take(records_);
            records_ = {};
            return;
        }
        if (!records_.empty()) spill();
        records_ = {};
        std::vector<Numbers<K>> piece;
        SortedMerge(runs_, memory_ - memory_ / 4).run([&](std::span<const MergedRecord> merged) {
            for (size_t i = 0; i < merged.size();) {
                piece.resize(std::min<size_t>(merged.size() - i, 4096));
                for (Numbers<K>& record : piece)
                    __builtin_memcpy(record.data(), merged[i++].data, sizeof record);
                take(piece);
            }
        });
    }

  private:
    void spill() {
        std::sort(records_.begin(), records_.end());
        const std::filesystem::path path =
            directory_ / fmt::format("{}.{:05}.run", name_, runs_.size());
        AtomicFile file(path);
        file.write(records_.data(), records_.size() * sizeof(Numbers<K>));
        file.commit();
        runs_.push_back({path, RecordLayout{static_cast<int>(K), 0}});
        records_.clear();
    }
    std::filesystem::path directory_;
    std::string name_;
    size_t memory_, most_;
    std::vector<Numbers<K>> records_;
    std::vector<SortedFile> runs_;
};

} // namespace tnl::corpus
