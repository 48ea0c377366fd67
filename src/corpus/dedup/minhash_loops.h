// The inner loop of MinHash, compiled once per instruction set (minhash_baseline.cpp,
// minhash_avx2.cpp, minhash_avx512.cpp) and chosen at run time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tnl::corpus {

constexpr uint64_t kMersenne61 = (uint64_t{1} << 61) - 1;
constexpr size_t kMinHashLanes = 16; // counts of lanes are rounded up to this

// least[l] = min(least[l], fold(x[i] * a[l] + b[l] mod 2^64)) over the n shingles x, where
// fold(y) = (y mod 2^61) + floor(y / 2^61). lanes: a multiple of kMinHashLanes.
using MinHashLoop = void (*)(uint64_t* least, const uint64_t* a, const uint64_t* b, size_t lanes,
                             const uint64_t* x, size_t n);

MinHashLoop minhash_loop_baseline();
MinHashLoop minhash_loop_avx2();
MinHashLoop minhash_loop_avx512();
MinHashLoop minhash_loop(); // the best this processor runs

// Everything below lies in an unnamed namespace, lest the linker keep one file's instructions for
// all.
namespace {

template <int kBytes>
void minhash_lanes(uint64_t* least, const uint64_t* a, const uint64_t* b, size_t lanes,
                   const uint64_t* x, size_t n) {
    constexpr size_t kWide = kBytes / 8, kVectors = kMinHashLanes / kWide;
    // Folded values are below 2^62: signed minima, which AVX2 has, are the same.
    using U [[gnu::vector_size(kBytes), gnu::aligned(8)]] = uint64_t;
    using S [[gnu::vector_size(kBytes), gnu::aligned(8)]] = int64_t;
    for (size_t l = 0; l < lanes; l += kMinHashLanes) {
        U av[kVectors], bv[kVectors];
        S min[kVectors];
        for (size_t v = 0; v < kVectors; ++v) {
            av[v] = *reinterpret_cast<const U*>(a + l + v * kWide);
            bv[v] = *reinterpret_cast<const U*>(b + l + v * kWide);
            min[v] = *reinterpret_cast<const S*>(least + l + v * kWide);
        }
        for (size_t i = 0; i < n; ++i) {
            for (size_t v = 0; v < kVectors; ++v) {
                const U y = av[v] * x[i] + bv[v];
                const S folded = reinterpret_cast<S>((y & kMersenne61) + (y >> 61));
                min[v] = folded < min[v] ? folded : min[v];
            }
        }
        for (size_t v = 0; v < kVectors; ++v) *reinterpret_cast<S*>(least + l + v * kWide) = min[v];
    }
}

} // namespace
} // namespace tnl::corpus
