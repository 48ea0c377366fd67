// A Bloom filter of n-grams (Bloom 1970), blocked: all bits of one lie in one line of the cache
// (Putze et al. 2007).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace tnl::corpus {

class NgramFilter {
  public:
    static constexpr int kBits = 8; // of an n-gram
    static constexpr size_t kLine = 64;
    explicit NgramFilter(size_t bytes); // rounded up to whole lines

    void prefetch(uint64_t hash) const { __builtin_prefetch(&lines_[line_of(hash)], 1); }
    bool contains(uint64_t hash) const;
    void insert(uint64_t hash);
    // How likely it is that it has an n-gram that was never inserted: measured by its bits.
    double false_positives() const;

  private:
    struct alignas(kLine) Line {
        uint64_t words[8] = {};
    };
    size_t line_of(uint64_t hash) const {
        return static_cast<size_t>(
            static_cast<unsigned __int128>(hash * 0x9E3779B97F4A7C15) * lines_.size() >> 64);
    }
    std::vector<Line> lines_;
};

} // namespace tnl::corpus
