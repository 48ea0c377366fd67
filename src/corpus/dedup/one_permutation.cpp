#include "corpus/dedup/one_permutation.h"

#include "base/check.h"

#include <algorithm>
#include <vector>

namespace tnl::corpus {
namespace {

constexpr uint64_t kEmpty = UINT64_MAX;

// The finalizer of MurmurHash3: every bit of x changes half of the bits.
uint64_t mixed(uint64_t x) {
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
    return x ^ (x >> 33);
}

} // namespace

OnePermutationHasher::OnePermutationHasher(uint32_t seed, size_t hashes)
    : key_(mixed(seed + 0x9e3779b97f4a7c15ULL)), hashes_(hashes) {
    TNL_CHECK(hashes >= 1 && hashes <= 65536, "{} hashes of a signature, wanted 1 to 65536",
              hashes);
}

// By the upper bits; the least of a bin is told by all.
size_t OnePermutationHasher::bin_of(uint64_t hash) const {
    return static_cast<size_t>(static_cast<unsigned __int128>(hash) * hashes_ >> 64);
}

void OnePermutationHasher::signature(std::span<const uint64_t> shingles, uint64_t* out) const {
    TNL_CHECK(!shingles.empty(), "a signature of no shingles");
    std::fill_n(out, hashes_, kEmpty);
    for (const uint64_t shingle : shingles) {
        const uint64_t hash = std::min(mixed(shingle ^ key_), kEmpty - 1);
        uint64_t& least = out[bin_of(hash)];
        least = std::min(least, hash);
    }
    if (std::find(out, out + hashes_, kEmpty) == out + hashes_) return;
    thread_local std::vector<uint64_t> bins;
    bins.assign(out, out + hashes_);
    for (size_t i = 0; i < hashes_; ++i)
        for (uint64_t attempt = 1; out[i] == kEmpty; ++attempt)
            out[i] = bins[bin_of(mixed(key_ + i + attempt * hashes_))];
}

} // namespace tnl::corpus
