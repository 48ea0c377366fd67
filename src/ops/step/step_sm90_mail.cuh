// What blocks of a running kernel tell each other: numbers of bf16, each in a word of 32 bits
// beside the low half of a count that says which of all the rows ever sent it belongs to. A reader
// asks for the words themselves until they bear its count: no flag apart from them, and so no
// waiting for one to be seen before the other. Words are read and written whole; nothing else is
// asked of the order of memory (the idea of NCCL's protocol LL).
//
// A row may be sent anew only when all have read it: every row is made of all of the one before, so
// that whoever sends a row's next version has seen that everyone was done with it (step_sm90.cu).
#pragma once

#include "cuda/reduce.cuh"
#include "cuda/words.cuh"
#include "ops/step/step.h"

#include <cstdint>

namespace tnl::cuda {

__device__ inline uint32_t word_of(float rounded, uint32_t count) {
    return (__float_as_uint(rounded) & 0xffff0000u) | (count & 0xffffu);
}
__device__ inline float number_of(uint32_t word) { return __uint_as_float(word & 0xffff0000u); }
__device__ inline bool fresh(uint32_t word, uint32_t count) {
    return ((word ^ count) & 0xffffu) == 0;
}
__device__ inline bool fresh(const uint4& w, uint32_t count) {
    return ((((w.x ^ count) | (w.y ^ count)) | ((w.z ^ count) | (w.w ^ count))) & 0xffffu) == 0;
}

// Into each copy, `apart` words from one to the next.
__device__ inline void send(uint32_t* to, int apart, uint32_t word) {
#pragma unroll
    for (int i = 0; i < StepMail::kCopies; ++i) write_word(to + i * apart, word);
}
__device__ inline void send(uint32_t* to, int apart, uint32_t first, uint32_t second) {
#pragma unroll
    for (int i = 0; i < StepMail::kCopies; ++i) write_words(to + i * apart, first, second);
}

// A word of 32 bits beside all of its count.
__device__ inline void send_counted(uint64_t* to, uint32_t word, uint32_t count) {
    write_word(to, uint64_t{count} << 32 | word);
}
__device__ inline uint32_t receive_counted(const uint64_t* from, uint32_t count) {
    uint64_t w = read_word(from);
    while (w >> 32 != count) w = read_word(from);
    return static_cast<uint32_t>(w);
}

__device__ inline float receive(const uint32_t* from, uint32_t count) {
    uint32_t w = read_word(from);
    while (!fresh(w, count)) w = read_word(from);
    return number_of(w);
}

// This thread's vectors of a row of `vectors` times 4 numbers: i, i + threads, ... All are asked
// for at once, and again those that are not there yet.
template <int kMost>
__device__ void receive(uint4 (&out)[kMost], const uint32_t* from, int vectors, int i, int threads,
                        uint32_t count) {
    bool missing = true;
#pragma unroll
    for (int n = 0; n < kMost; ++n) out[n] = make_uint4(~count, ~count, ~count, ~count);
    while (missing) {
#pragma unroll
        for (int n = 0; n < kMost; ++n)
            if (i + n * threads < vectors && !fresh(out[n], count))
                out[n] = read_words(from + 4 * (i + n * threads));
        missing = false;
#pragma unroll
        for (int n = 0; n < kMost; ++n)
            missing = missing || (i + n * threads < vectors && !fresh(out[n], count));
    }
}

} // namespace tnl::cuda
