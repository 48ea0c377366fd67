// Philox 4x32-10 (Salmon et al., SC 2011): a counter-based generator. The number drawn depends only
// on (seed, stream, index), so it is the same on host and device, for any thread count, and a run
// that resumes needs no generator state.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define TNL_HOST_DEVICE __host__ __device__
#else
#define TNL_HOST_DEVICE
#endif

namespace tnl {

struct Philox {
    uint64_t seed = 0;
    uint64_t stream = 0;

    struct Block {
        uint32_t x[4];
    };

    // Four independent 32-bit words for counter `index`.
    TNL_HOST_DEVICE Block block(uint64_t index) const {
        uint32_t c0 = static_cast<uint32_t>(index), c1 = static_cast<uint32_t>(index >> 32);
        uint32_t c2 = static_cast<uint32_t>(stream), c3 = static_cast<uint32_t>(stream >> 32);
        uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
        for (int round = 0; round < 10; ++round) {
            const uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
            const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
            const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
            c1 = static_cast<uint32_t>(p1);
            c3 = static_cast<uint32_t>(p0);
            c0 = n0;
            c2 = n2;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        return {{c0, c1, c2, c3}};
    }

    // Uniform in [0, 1), 53 bits.
    TNL_HOST_DEVICE double uniform(uint64_t index) const {
        const Block b = block(index);
        const uint64_t bits = (uint64_t{b.x[0]} << 32 | b.x[1]) >> 11;
        return static_cast<double>(bits) * 0x1.0p-53;
    }

    // Standard normal (Box-Muller).
    double normal(uint64_t index) const {
        const Block b = block(index);
        const double u = (static_cast<double>(b.x[0]) + 0.5) * 0x1.0p-32;
        const double v = (static_cast<double>(b.x[1]) + 0.5) * 0x1.0p-32;
        return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
    }

    // Uniform integer in [0, n), n >= 1. The bias is below n * 2^-64.
    TNL_HOST_DEVICE uint64_t below(uint64_t index, uint64_t n) const {
        const Block b = block(index);
        const uint64_t bits = uint64_t{b.x[0]} << 32 | b.x[1];
#if defined(__CUDA_ARCH__)
        return __umul64hi(bits, n);
#else
        return static_cast<uint64_t>((static_cast<unsigned __int128>(bits) * n) >> 64);
#endif
    }
};

} // namespace tnl
