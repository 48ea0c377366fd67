#include "corpus/dedup/minhash.h"

#include "base/cpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace tnl::corpus {
namespace {

// By numpy: RandomState(1).randint(1, 2^61-1, dtype=uint64, size=112), then randint(0, ...).
TEST(MinHash, ParametersAreNumpys) {
    const MinHashParameters p = minhash_parameters(1, 112);
    EXPECT_EQ(p.a[0], 775169054918279404U);
    EXPECT_EQ(p.a[1], 1758426461858698313U);
    EXPECT_EQ(p.a[2], 2109959069025162U);
    EXPECT_EQ(p.a[3], 965365488286768774U);
    EXPECT_EQ(p.a[111], 223865076026037746U);
    EXPECT_EQ(p.b[0], 1062448801025099917U);
    EXPECT_EQ(p.b[1], 1324811268927594100U);
    EXPECT_EQ(p.b[2], 1217488311597731462U);
    EXPECT_EQ(p.b[3], 100775521383383736U);
    EXPECT_EQ(p.b[111], 1097409548522419201U);
}

std::vector<uint64_t> plain_signature(uint32_t seed, size_t hashes,
                                      const std::vector<uint64_t>& shingles) {
    const MinHashParameters p = minhash_parameters(seed, hashes);
    std::vector<uint64_t> out(hashes, UINT64_MAX);
    for (size_t i = 0; i < hashes; ++i)
        for (const uint64_t x : shingles)
            out[i] = std::min(out[i], (x * p.a[i] + p.b[i]) % kMersenne61);
    return out;
}

std::vector<MinHashLoop> loops() {
    std::vector<MinHashLoop> out = {minhash_loop_baseline()};
    if (cpu_features().avx2) out.push_back(minhash_loop_avx2());
    if (cpu_features().avx512) out.push_back(minhash_loop_avx512());
    return out;
}

TEST(MinHash, EveryLoopGivesThePlainSignature) {
    std::mt19937_64 random(7);
    for (const size_t hashes : {size_t{1}, size_t{16}, size_t{17}, size_t{112}, size_t{260}})
        for (const size_t n : {size_t{1}, size_t{2}, size_t{63}, size_t{1000}}) {
            std::vector<uint64_t> shingles(n);
            for (uint64_t& x : shingles) x = random();
            const std::vector<uint64_t> wanted = plain_signature(3, hashes, shingles);
            for (const MinHashLoop loop : loops()) {
                std::vector<uint64_t> got(hashes);
                MinHasher(3, hashes, loop).signature(shingles, got.data());
                EXPECT_EQ(got, wanted) << hashes << " hashes, " << n << " shingles";
            }
        }
}

// x with x a + b = y mod 2^64, for an odd a.
uint64_t preimage(uint64_t y, uint64_t a, uint64_t b) {
    uint64_t inverse = a; // Newton: the number of right bits doubles
    for (int i = 0; i < 6; ++i) inverse *= 2 - a * inverse;
    return (y - b) * inverse;
}

// The values around which the folded sum and the modulus part ways: both ends of the low 61 bits,
// under each value of the upper three.
TEST(MinHash, EndsOfTheModulus) {
    const MinHashParameters p = minhash_parameters(1, 112);
    int odd = 0;
    for (size_t i = 0; i < p.a.size(); ++i) {
        if (p.a[i] % 2 == 0) continue;
        ++odd;
        for (uint64_t upper = 0; upper < 8; ++upper)
            for (int64_t offset = -20; offset <= 20; ++offset) {
                const uint64_t y = (upper << 61) + static_cast<uint64_t>(offset);
                const std::vector<uint64_t> shingles = {preimage(y, p.a[i], p.b[i])};
                ASSERT_EQ(shingles[0] * p.a[i] + p.b[i], y);
                for (const MinHashLoop loop : loops()) {
                    std::vector<uint64_t> got(112);
                    MinHasher(1, 112, loop).signature(shingles, got.data());
                    ASSERT_EQ(got[i], y % kMersenne61) << upper << " " << offset;
                }
            }
    }
    EXPECT_GT(odd, 30);
}

} // namespace
} // namespace tnl::corpus
