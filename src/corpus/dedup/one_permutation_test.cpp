#include "corpus/dedup/one_permutation.h"

#include "base/check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace tnl::corpus {
namespace {

std::vector<uint64_t> signature_of(const std::vector<uint64_t>& shingles, size_t hashes,
                                   uint32_t seed = 1) {
    std::vector<uint64_t> out(hashes);
    OnePermutationHasher(seed, hashes).signature(shingles, out.data());
    return out;
}

// Sets of `size` with `common` of them in both: the share of equal numbers is their similarity,
// whether there are more shingles than numbers or fewer.
TEST(OnePermutation, AgreesAsOftenAsSetsDo) {
    std::mt19937_64 random(5);
    constexpr size_t kHashes = 112, kTrials = 60;
    for (const size_t size : {12u, 100u, 3000u})
        for (const double part : {0.25, 0.5, 0.8}) {
            const auto common = static_cast<size_t>(part * static_cast<double>(size));
            double equal = 0;
            for (size_t trial = 0; trial < kTrials; ++trial) {
                std::vector<uint64_t> a(size), b(size);
                for (size_t i = 0; i < size; ++i) {
                    a[i] = random();
                    b[i] = i < common ? a[i] : random();
                }
                std::shuffle(b.begin(), b.end(), random);
                const auto x = signature_of(a, kHashes), y = signature_of(b, kHashes);
                for (size_t i = 0; i < kHashes; ++i) equal += x[i] == y[i];
            }
            const auto shared = static_cast<double>(common);
            const double similarity = shared / (2 * static_cast<double>(size) - shared);
            // Few shingles make few distinct numbers.
            const double independent =
                kTrials * static_cast<double>(std::min<size_t>(kHashes, size));
            EXPECT_NEAR(equal / (kHashes * kTrials), similarity,
                        5 * std::sqrt(similarity * (1 - similarity) / independent))
                << size << " shingles, " << part;
        }
}

TEST(OnePermutation, IsAFunctionOfTheSetAndTheSeed) {
    const std::vector<uint64_t> shingles = {3, 1, 4, 1, 5, 9, 2, 6}, set = {9, 6, 5, 4, 3, 2, 1};
    EXPECT_EQ(signature_of(shingles, 64), signature_of(set, 64));
    EXPECT_NE(signature_of(shingles, 64), signature_of(set, 64, 2));
    const auto one = signature_of({7}, 1000); // every bin takes the only number
    EXPECT_EQ(std::count(one.begin(), one.end(), one.front()), 1000);
    EXPECT_THROW(signature_of({}, 8), Error);
    EXPECT_THROW(OnePermutationHasher(1, 0), Error);
}

} // namespace
} // namespace tnl::corpus
