#include "corpus/dedup/minhash.h"

#include "base/check.h"
#include "base/cpu.h"

#include <algorithm>
#include <random>

namespace tnl::corpus {
namespace {

// The loop leaves out the last step of y mod (2^61 - 1), the subtraction where fold(y) is 2^61 - 1
// or more, and is given b + 8 for b. With r = fold(x a + b) and r' = fold(x a + b + 8):
//   - where the low 61 bits of x a + b are below 2^61 - 8, r < 2^61 - 1 is h itself, and r' = h +
//   8;
//   - else adding 8 carries into the upper three bits, or out of them. Then r' is h + 8 where the
//     subtraction was due, and below 8 where it was not or where the carry is lost.
// So a least r' of 8 or more is the least h, plus 8; one below 8 (of random x, once in 2^58) says
// that the hash has to be computed again, plainly.
constexpr uint64_t kShift = 8;

// RandomState.randint for uint64: 64 bits, upper half first, masked to the bits of the range's
// size, drawn again where too large.
uint64_t masked(std::mt19937& engine, uint64_t low, uint64_t high) {
    const uint64_t range = high - 1 - low;
    uint64_t mask = range;
    for (int shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
    for (;;) {
        const uint64_t upper = engine();
        const uint64_t value = (upper << 32 | engine()) & mask;
        if (value <= range) return low + value;
    }
}

} // namespace

MinHashLoop minhash_loop() {
    const CpuFeatures& cpu = cpu_features();
    return cpu.avx512 ? minhash_loop_avx512()
           : cpu.avx2 ? minhash_loop_avx2()
                      : minhash_loop_baseline();
}

MinHashParameters minhash_parameters(uint32_t seed, size_t count) {
    std::mt19937 engine(seed);
    MinHashParameters out;
    for (size_t i = 0; i < count; ++i) out.a.push_back(masked(engine, 1, kMersenne61));
    for (size_t i = 0; i < count; ++i) out.b.push_back(masked(engine, 0, kMersenne61));
    return out;
}

MinHasher::MinHasher(uint32_t seed, size_t hashes, MinHashLoop loop)
    : hashes_(hashes), loop_(loop), parameters_(minhash_parameters(seed, hashes)) {
    TNL_CHECK(hashes >= 1 && hashes <= 65536, "{} hashes of a signature, wanted 1 to 65536",
              hashes);
    const size_t padded = (hashes + kMinHashLanes - 1) / kMinHashLanes * kMinHashLanes;
    for (const uint64_t b : parameters_.b) shifted_.push_back(b + kShift);
    parameters_.a.resize(padded);
    shifted_.resize(padded);
}

void MinHasher::signature(std::span<const uint64_t> shingles, uint64_t* out) const {
    TNL_CHECK(!shingles.empty(), "a signature of no shingles");
    thread_local std::vector<uint64_t> least;
    least.assign(shifted_.size(), uint64_t{1} << 62); // above all that fold gives
    loop_(least.data(), parameters_.a.data(), shifted_.data(), shifted_.size(), shingles.data(),
          shingles.size());
    for (size_t i = 0; i < hashes_; ++i)
        out[i] = least[i] >= kShift ? least[i] - kShift : exact(shingles, i);
}

uint64_t MinHasher::exact(std::span<const uint64_t> shingles, size_t hash) const {
    uint64_t least = kMersenne61;
    for (const uint64_t x : shingles)
        least = std::min(least, (x * parameters_.a[hash] + parameters_.b[hash]) % kMersenne61);
    return least;
}

} // namespace tnl::corpus
