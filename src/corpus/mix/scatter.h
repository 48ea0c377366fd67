// Lines of one file on their way into shuffled parts: sorted runs in one temporary file, with an
// index, so that each part finds its lines with one read a run.
#pragma once

#include "base/file.h"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

// Which of `parts` a key belongs to: keys of equal distances to each, in order.
uint64_t part_of(uint64_t key, uint64_t parts);

struct ScatteredLine {
    uint64_t key = 0, file = 0, index = 0, copy = 0;
    std::string_view line; // without its end
};

class ScatterWriter {
  public:
    // Writes data (lines) and index (their places) when committed. memory: bytes of lines that are
    // held; what a part reads does not depend on it.
    ScatterWriter(const std::filesystem::path& data, const std::filesystem::path& index,
                  uint64_t parts, size_t memory);
    // Throws where the line has 4 GiB or more.
    void add(uint64_t key, uint64_t index, uint64_t copy, std::string_view line);
    void commit();

  private:
    struct Entry {
        uint64_t key, index;
        uint32_t copy, length;
        size_t begin;
    };
    void spill();
    AtomicFile data_, index_;
    uint64_t parts_;
    size_t memory_;
    std::string bytes_;
    std::vector<Entry> entries_;
};

class ScatterReader {
  public:
    // Throws naming a file that is not as written.
    ScatterReader(const std::filesystem::path& data, const std::filesystem::path& index,
                  uint64_t parts);
    size_t part_bytes(uint64_t part) const;
    // Calls take(key, index, copy, line) for the lines of a part, run after run. Lines are in
    // memory that the system maps.
    template <class F> void read(uint64_t part, F&& take) const {
        for (size_t run = 0; run < runs(); ++run) {
            std::string_view bytes = data_.view().substr(begin(run, part), size(run, part));
            while (!bytes.empty()) {
                ScatteredLine line = first(bytes);
                take(line);
            }
        }
    }

  private:
    size_t runs() const { return places_.size() / (parts_ + 1); }
    size_t begin(size_t run, uint64_t part) const { return places_[run * (parts_ + 1) + part]; }
    size_t size(size_t run, uint64_t part) const { return begin(run, part + 1) - begin(run, part); }
    ScatteredLine first(std::string_view& bytes) const; // and takes it off
    MappedFile data_;
    uint64_t parts_;
    std::vector<uint64_t> places_; // [runs, parts + 1]
};

} // namespace tnl::corpus
