// MinHash signatures by one permutation: the hashes of a document's shingles are shared out over as
// many bins as the signature has numbers, and each bin keeps its least (Li, Owen, Zhang 2012,
// 1208.1259). Two documents agree in a number with the probability of their Jaccard similarity, as
// in minhash.h, but a shingle is hashed once, not once for each number. A bin that nothing fell
// into takes the number of another, chosen by its own place alone (optimal densification,
// Shrivastava 2017, 1703.04664), which keeps that probability for short documents.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tnl::corpus {

class OnePermutationHasher {
  public:
    OnePermutationHasher(uint32_t seed, size_t hashes);

    size_t hashes() const { return hashes_; }
    // out[hashes], of at least one shingle, each a hash of 64 bits.
    void signature(std::span<const uint64_t> shingles, uint64_t* out) const;

  private:
    size_t bin_of(uint64_t hash) const;
    uint64_t key_;
    size_t hashes_;
};

} // namespace tnl::corpus
