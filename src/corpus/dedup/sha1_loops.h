// SHA-1 (FIPS 180-4) of many short messages at once, one in each lane of a vector; compiled once
// per instruction set and chosen at run time, as minhash_loops.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tnl::corpus {

struct Message {
    const char* data;
    size_t bytes;
};

// out[i]: the first eight bytes of the digest of messages[i], as a little-endian number.
using Sha1Loop = void (*)(uint64_t* out, const Message* messages, size_t n);

Sha1Loop sha1_loop_baseline();
Sha1Loop sha1_loop_avx2();
Sha1Loop sha1_loop_avx512();
Sha1Loop sha1_loop(); // the best this processor runs

namespace {

inline size_t sha1_blocks(size_t bytes) { return (bytes + 8) / 64 + 1; }

// Block `index` of the padded message.
inline void sha1_block(const Message& message, size_t index, unsigned char* to) {
    const size_t begin = index * 64;
    const size_t left = begin < message.bytes ? message.bytes - begin : 0;
    if (left >= 64) {
        std::memcpy(to, message.data + begin, 64);
        return;
    }
    std::memset(to, 0, 64);
    if (left > 0) std::memcpy(to, message.data + begin, left);
    if (begin <= message.bytes) to[left] = 0x80;
    if (index + 1 == sha1_blocks(message.bytes)) {
        const uint64_t bits = __builtin_bswap64(uint64_t{message.bytes} * 8);
        std::memcpy(to + 56, &bits, 8);
    }
}

// U: a vector of uint32_t.
template <class U> struct Sha1Lanes {
    static constexpr size_t kLanes = sizeof(U) / 4;

    template <int k> static U rotate(U x) { return x << k | x >> (32 - k); }

    static void compress(U (&state)[5], U (&w)[16], const U& mask) {
        U a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
        const auto round = [&](int t, U f, uint32_t k) {
            if (t >= 16)
                w[t & 15] =
                    rotate<1>(w[(t + 13) & 15] ^ w[(t + 8) & 15] ^ w[(t + 2) & 15] ^ w[t & 15]);
            const U next = rotate<5>(a) + f + e + k + w[t & 15];
            e = d, d = c, c = rotate<30>(b), b = a, a = next;
        };
        for (int t = 0; t < 20; ++t) round(t, d ^ (b & (c ^ d)), 0x5A827999U);
        for (int t = 20; t < 40; ++t) round(t, b ^ c ^ d, 0x6ED9EBA1U);
        for (int t = 40; t < 60; ++t) round(t, (b & c) | (d & (b | c)), 0x8F1BBCDCU);
        for (int t = 60; t < 80; ++t) round(t, b ^ c ^ d, 0xCA62C1D6U);
        state[0] += a & mask, state[1] += b & mask, state[2] += c & mask;
        state[3] += d & mask, state[4] += e & mask;
    }

    static void hash(uint64_t* out, const Message* messages, size_t n) {
        for (size_t first = 0; first < n; first += kLanes) {
            const size_t lanes = n - first < kLanes ? n - first : kLanes;
            size_t most = 0, blocks[kLanes] = {};
            for (size_t l = 0; l < lanes; ++l) {
                blocks[l] = sha1_blocks(messages[first + l].bytes);
                most = blocks[l] > most ? blocks[l] : most;
            }
            const U zero{};
            U state[5] = {zero + 0x67452301U, zero + 0xEFCDAB89U, zero + 0x98BADCFEU,
                          zero + 0x10325476U, zero + 0xC3D2E1F0U};
            for (size_t j = 0; j < most; ++j) {
                alignas(64) uint32_t words[16][kLanes];
                alignas(64) uint32_t active[kLanes] = {};
                for (size_t l = 0; l < kLanes; ++l) {
                    if (j >= blocks[l]) {
                        for (auto& row : words) row[l] = 0;
                        continue;
                    }
                    alignas(8) unsigned char block[64];
                    sha1_block(messages[first + l], j, block);
                    for (size_t t = 0; t < 16; ++t) {
                        uint32_t word;
                        std::memcpy(&word, block + 4 * t, 4);
                        words[t][l] = __builtin_bswap32(word);
                    }
                    active[l] = ~uint32_t{0};
                }
                U w[16], mask;
                std::memcpy(w, words, sizeof w);
                std::memcpy(&mask, active, sizeof mask);
                compress(state, w, mask);
            }
            alignas(64) uint32_t digest[2][kLanes];
            std::memcpy(digest, state, sizeof digest);
            for (size_t l = 0; l < lanes; ++l)
                out[first + l] = uint64_t{__builtin_bswap32(digest[0][l])} |
                                 uint64_t{__builtin_bswap32(digest[1][l])} << 32;
        }
    }
};

} // namespace
} // namespace tnl::corpus
