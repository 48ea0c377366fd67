// MinHash signatures of documents (Broder 1997), in bands for locality-sensitive hashing: two
// documents are candidates where all rows of a band agree.
//
// The hash functions are datatrove's, bit for bit: h(x) = ((x a + b) mod 2^64) mod (2^61 - 1), with
// a and b from numpy's RandomState(seed). The product wraps before the modulus, so that these are
// not the universal family they are taken from; what counts is that signatures agree.
#pragma once

#include "corpus/dedup/minhash_loops.h"

#include <cstdint>
#include <span>
#include <vector>

namespace tnl::corpus {

struct MinHashParameters {
    std::vector<uint64_t> a, b; // a in [1, 2^61-1), b in [0, 2^61-1)
};
// What numpy.random.RandomState(seed) gives for randint(1, 2^61-1, uint64, count), then
// randint(0, 2^61-1, uint64, count).
MinHashParameters minhash_parameters(uint32_t seed, size_t count);

class MinHasher {
  public:
    // `loop` stands for minhash_loop() in tests and comparisons.
    MinHasher(uint32_t seed, size_t hashes, MinHashLoop loop = minhash_loop());

    size_t hashes() const { return hashes_; }
    // out[hashes]: the least h_i(x) over the shingles x, of which there is at least one.
    void signature(std::span<const uint64_t> shingles, uint64_t* out) const;

  private:
    uint64_t exact(std::span<const uint64_t> shingles, size_t hash) const;
    size_t hashes_;
    MinHashLoop loop_;
    MinHashParameters parameters_;  // a padded with zeros to whole lanes
    std::vector<uint64_t> shifted_; // b + kShift, padded
};

} // namespace tnl::corpus
