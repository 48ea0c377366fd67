// A bf16 matrix in 8 bits, as it lies and transposed, in one pass over memory.
#include "cuda/reduce.cuh"
#include "ops/entries_cuda.h"
#include "ops/rows.cuh"

#include <cuda_fp8.h>

#include <algorithm>

namespace tnl::cuda {
namespace {

constexpr int kTile = 128, kThreads = 256; // a thread has 8 x 8 elements of a tile

struct Quantize {
    const uint16_t* x; // bf16
    uint8_t *rows, *columns;
    float* scale;
    uint32_t* largest; // of the sampled rows, of all
    int64_t stride, M, N;
    bool again; // where the sample did not tell enough
};

// The larger of both halves, over the block, into *largest: maxima come out the same in any order.
__device__ void add_largest(uint32_t* largest, uint32_t halves) {
    __shared__ uint32_t parts[kThreads / kWarp];
    const uint32_t mine = __reduce_max_sync(0xffffffffu, max(halves & 0xffffu, halves >> 16));
    if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = mine;
    __syncthreads();
    if (threadIdx.x != 0) return;
    uint32_t most = 0;
    for (const uint32_t part : parts) most = max(most, part);
    if (most > *static_cast<volatile uint32_t*>(largest)) atomicMax(largest, most);
}

// 8 elements from column n on, zeros behind the end. kPacked: aligned, and all of them or none.
template <bool kPacked> __device__ uint4 load_eight(const uint16_t* row, int64_t n, int64_t N) {
    if constexpr (kPacked) {
        if (n < N) return *reinterpret_cast<const uint4*>(row + n);
        return {};
    } else {
        uint32_t words[4] = {};
        for (int i = 0; i < 8; ++i)
            if (n + i < N) words[i / 2] |= static_cast<uint32_t>(row[n + i]) << (i % 2 * 16);
        return {words[0], words[1], words[2], words[3]};
    }
}

template <int kBytes, bool kPacked, class Word>
__device__ void store_bytes(uint8_t* to, int64_t at, int64_t end, Word word) {
    static_assert(sizeof(Word) == kBytes);
    if constexpr (kPacked) {
        if (at < end) *reinterpret_cast<Word*>(to + at) = word;
    } else {
        const auto* bytes = reinterpret_cast<const uint8_t*>(&word);
        for (int i = 0; i < kBytes; ++i)
            if (at + i < end) to[at + i] = bytes[i];
    }
}

__device__ uint32_t largest_halves(uint32_t most, uint4 v) {
    for (const uint32_t word : {v.x, v.y, v.z, v.w}) most = __vmaxu2(most, word & 0x7fff7fffu);
    return most;
}

template <bool kPacked> __global__ void __launch_bounds__(kThreads) sample_rows(Quantize p) {
    const uint16_t* row = p.x + blockIdx.x * fp8_sample_step(p.M) * p.stride;
    uint32_t most = 0;
    for (int64_t n = threadIdx.x * 8; n < p.N; n += kThreads * 8)
        most = largest_halves(most, load_eight<kPacked>(row, n, p.N));
    add_largest(p.largest, most);
}

template <Fp8Format kFormat> __device__ uint32_t two_codes(uint32_t pair, float factor) {
    const float2 x{__uint_as_float(pair << 16) * factor,
                   __uint_as_float(pair & 0xffff0000u) * factor};
    return __nv_cvt_float2_to_fp8x2(x, __NV_SATFINITE,
                                    kFormat == Fp8Format::e4m3 ? __NV_E4M3 : __NV_E5M2);
}
template <Fp8Format kFormat> __device__ uint2 eight_codes(uint4 v, float factor) {
    return {two_codes<kFormat>(v.x, factor) | two_codes<kFormat>(v.y, factor) << 16,
            two_codes<kFormat>(v.z, factor) | two_codes<kFormat>(v.w, factor) << 16};
}

// Four rows of four bytes become four columns.
__device__ uint4 turned_bytes(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    const uint32_t ab = __byte_perm(a, b, 0x5140), ab2 = __byte_perm(a, b, 0x7362);
    const uint32_t cd = __byte_perm(c, d, 0x5140), cd2 = __byte_perm(c, d, 0x7362);
    return {__byte_perm(ab, cd, 0x5410), __byte_perm(ab, cd, 0x7632), __byte_perm(ab2, cd2, 0x5410),
            __byte_perm(ab2, cd2, 0x7632)};
}

template <Fp8Format kFormat, bool kRows, bool kColumns, bool kPacked>
__global__ void __launch_bounds__(kThreads) quantize_tiles(Quantize p) {
    // A tile's columns in chunks of 8 codes; chunk y of column c lies at place y ^ c / 8, so that
    // neither the 16 threads beside each other nor the 8 along a column meet in a bank.
    __shared__ alignas(16) uint2 turned[kColumns ? kTile * kTile / 8 : 1];
    uint32_t basis = p.largest[0];
    if (p.again) {
        const uint32_t all = p.largest[1];
        const bool overflows = fp8_overflows(basis, all, kFormat);
        if (overflows) basis = all;
        if (blockIdx.x == 0 && threadIdx.x == 0)
            *p.scale = all >= kBf16Infinity
                           ? __uint_as_float(0x7fffffffu)
                           : __int_as_float((127 - fp8_shift(basis, kFormat)) << 23);
        if (!overflows) return;
    }
    const float factor = __int_as_float((127 + fp8_shift(basis, kFormat)) << 23);
    const int tx = static_cast<int>(threadIdx.x) % 16, ty = static_cast<int>(threadIdx.x) / 16;
    const int64_t across = (p.N + kTile - 1) / kTile, tiles = across * ((p.M + kTile - 1) / kTile);
    uint32_t most = 0;
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const int64_t m0 = tile / across * kTile, n0 = tile % across * kTile;
        const int64_t m = m0 + 8 * ty, n = n0 + 8 * tx;
        uint4 v[8];
#pragma unroll
        for (int i = 0; i < 8; ++i)
            v[i] = m + i < p.M ? load_eight<kPacked>(p.x + (m + i) * p.stride, n, p.N) : uint4{};
        uint2 codes[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            most = largest_halves(most, v[i]);
            codes[i] = eight_codes<kFormat>(v[i], factor);
            if (kRows && m + i < p.M)
                store_bytes<8, kPacked>(p.rows + (m + i) * p.N, n, p.N, codes[i]);
        }
        if constexpr (!kColumns) continue;
        const auto turn = [&](int c, uint4 upper, uint4 lower) {
            uint2* to = turned + (8 * tx + c) * 16 + (ty ^ tx);
            to[0] = {upper.x, lower.x};
            to[16] = {upper.y, lower.y};
            to[32] = {upper.z, lower.z};
            to[48] = {upper.w, lower.w};
        };
        turn(0, turned_bytes(codes[0].x, codes[1].x, codes[2].x, codes[3].x),
             turned_bytes(codes[4].x, codes[5].x, codes[6].x, codes[7].x));
        turn(4, turned_bytes(codes[0].y, codes[1].y, codes[2].y, codes[3].y),
             turned_bytes(codes[4].y, codes[5].y, codes[6].y, codes[7].y));
        __syncthreads();
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const int c = 32 * k + static_cast<int>(threadIdx.x) / 8, x = c / 8;
            const int y = static_cast<int>(threadIdx.x) % 8; // of pairs of chunks
            uint4 pair = *reinterpret_cast<const uint4*>(turned + c * 16 + 2 * (y ^ x / 2));
            if (x % 2 != 0) pair = {pair.z, pair.w, pair.x, pair.y};
            if (n0 + c < p.N)
                store_bytes<16, kPacked>(p.columns + (n0 + c) * p.M, m0 + 16 * y, p.M, pair);
        }
        __syncthreads();
    }
    if (!p.again) add_largest(p.largest + 1, most);
}

template <class F> void with_flag(bool flag, F&& f) {
    if (flag)
        f(std::true_type{});
    else
        f(std::false_type{});
}

bool aligned(const void* p, uintptr_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

} // namespace

void fp8_quantize(Stream& s, Fp8Matrix y, Tensor transposed, Tensor x) {
    check_fp8_quantize(y, transposed, x);
    CudaStream& stream = cuda_of(s);
    Quantize p{reinterpret_cast<const uint16_t*>(x.as<bf16>()),
               y.codes.rank ? y.codes.as<uint8_t>() : nullptr,
               transposed.rank ? transposed.as<uint8_t>() : nullptr,
               y.scale.as<float>(),
               static_cast<uint32_t*>(stream.scratch(2 * sizeof(uint32_t))),
               x.stride[0],
               x.shape[0],
               x.shape[1],
               false};
    check_cuda(cudaMemsetAsync(p.largest, 0, 2 * sizeof(uint32_t), stream.stream),
               "cudaMemsetAsync");
    const bool packed = p.N % 8 == 0 && p.stride % 8 == 0 && aligned(p.x, 16) &&
                        aligned(p.rows, 8) &&
                        (!p.columns || (p.M % 16 == 0 && aligned(p.columns, 16)));
    const int64_t step = fp8_sample_step(p.M), across = (p.N + kTile - 1) / kTile;
    const unsigned tiles = blocks_for(across * ((p.M + kTile - 1) / kTile), 1);
    const auto enough = static_cast<unsigned>(4 * stream.props.multiProcessorCount);
    with_flag(packed, [&](auto is_packed) {
        constexpr bool kPacked = is_packed();
        if (p.N > 0)
            launch(stream, sample_rows<kPacked>, dim3(blocks_for(p.M, step)), dim3(kThreads), 0, p);
        with_flag(y.format == Fp8Format::e4m3, [&](auto is_e4m3) {
            constexpr Fp8Format kFormat = is_e4m3() ? Fp8Format::e4m3 : Fp8Format::e5m2;
            const auto run = [&](void (*kernel)(Quantize)) {
                launch(stream, kernel, dim3(std::max(tiles, 1u)), dim3(kThreads), 0, p);
                p.again = true;
                launch(stream, kernel, dim3(std::clamp(tiles, 1u, enough)), dim3(kThreads), 0, p);
            };
            if (p.rows && p.columns)
                run(quantize_tiles<kFormat, true, true, kPacked>);
            else if (p.columns)
                run(quantize_tiles<kFormat, false, true, kPacked>);
            else
                run(quantize_tiles<kFormat, true, false, kPacked>);
        });
    });
}

} // namespace tnl::cuda
