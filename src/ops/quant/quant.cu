// Products with weights of 8 or 4 bits on the GPU. Of few rows the weights are read once and
// multiplied as they come; of many they are widened, some rows of b at a time, and cuBLAS does the
// rest.
#include "cuda/reduce.cuh"
#include "ops/entries_cuda.h"
#include "ops/gemm/few_rows.h"
#include "ops/quant/quant.h"
#include "ops/rows.cuh"

#include <algorithm>

namespace tnl::cuda {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * kWarp;
constexpr int64_t kBlocksPerSm = 4;
constexpr int64_t kWidened = int64_t{32} << 20; // bytes of widened weights at once

// 16 bytes of codes, whose numbers are two runs of neighbours: 8 (of 4 bits 16) from `first` on,
// and as many kApart further (the order within a block: quant.h).
template <int kBits> struct Codes {
    static constexpr int kSpan = kBits == 8 ? 8 : 16;
    static constexpr int kApart = kBits == 8 ? 16 : 32;
    static constexpr int kGroup =
        static_cast<int>(quant_group(kBits == 8 ? QuantFormat::int8 : QuantFormat::int4));
    uint32_t words[4];

    // Of the pack at this place of a block.
    static __device__ int first(int pack) {
        return kBits == 8 ? pack / 2 * 32 + pack % 2 * 8 : pack / 2 * 64 + pack % 2 * 16;
    }
    // Byte i as a number: the low byte of 2^23 + i.
    static __device__ float from_byte(uint32_t word, int i) {
        return __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7650u + static_cast<uint32_t>(i))) -
               8388608.0f;
    }
    // f(place after first, code less its zero)
    template <class F> __device__ void each(F f) const {
#pragma unroll
        for (int w = 0; w < 4; ++w)
            if constexpr (kBits == 8) {
#pragma unroll
                for (int i = 0; i < 4; ++i)
                    f(w * 2 + i / 2 + i % 2 * kApart, from_byte(words[w], i) - 128.0f);
            } else {
                const uint32_t low = words[w] & 0x0f0f0f0fu, high = words[w] >> 4 & 0x0f0f0f0fu;
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    f(w * 4 + i, from_byte(low, i) - 8.0f);
                    f(w * 4 + i + kApart, from_byte(high, i) - 8.0f);
                }
            }
    }
};

// A pack of a row: its codes, its scale, and where in K its first number lies.
template <int kBits> struct Place {
    Codes<kBits> codes;
    float scale;
    int first;
};

// Pack `pack` of a row of `padded` codes.
template <int kBits> __device__ Place<kBits> load_place(const uint8_t* row, int pack, int padded) {
    constexpr QuantFormat kFormat = kBits == 8 ? QuantFormat::int8 : QuantFormat::int4;
    constexpr int kWhole = static_cast<int>(quant_block_bytes(kFormat, kQuantBlock));
    constexpr int kPacks = static_cast<int>(quant_code_bytes(kFormat, kQuantBlock)) / 16;
    const int block = pack / kPacks, within = pack % kPacks;
    const int begin = block * static_cast<int>(kQuantBlock);
    const int n = min(static_cast<int>(kQuantBlock), padded - begin);
    const uint8_t* from = row + int64_t{block} * kWhole;
    Place<kBits> out;
    const uint4 words = *reinterpret_cast<const uint4*>(from + within * 16);
    out.codes.words[0] = words.x;
    out.codes.words[1] = words.y;
    out.codes.words[2] = words.z;
    out.codes.words[3] = words.w;
    const int first = Codes<kBits>::first(within);
    out.scale = __bfloat162float(
        reinterpret_cast<const __nv_bfloat16*>(from + n * kBits / 8)[first / Codes<kBits>::kGroup]);
    out.first = begin + first;
    return out;
}

template <class T> struct Arguments {
    const T* a = nullptr;
    const uint8_t* b = nullptr;
    void* c = nullptr; // T, or float where wide
    int64_t lda = 0, ldc = 0, row_bytes = 0;
    int M = 0, N = 0, K = 0, padded = 0;
    bool adds = false, wide = false;
};

template <class T> __device__ void put(const Arguments<T>& p, int m, int n, float value) {
    const int64_t at = m * p.ldc + n;
    if (p.wide) {
        auto* c = static_cast<float*>(p.c) + at;
        *c = p.adds ? value + *c : value;
    } else {
        auto* c = static_cast<T*>(p.c) + at;
        *c = from_acc<T>(p.adds ? value + to_acc(*c) : value);
    }
}

// A warp takes a row of b at a time; the rows of a lie in shared memory, zeros after K.
template <class T, int kBits, int kRows>
__global__ void __launch_bounds__(kThreads) quant_rows_kernel(Arguments<T> p) {
    extern __shared__ uint4 memory[];
    T* const rows = reinterpret_cast<T*>(memory);
    for (int m = 0; m < p.M; ++m)
        for (int k = static_cast<int>(threadIdx.x); k < p.padded; k += kThreads)
            rows[m * p.padded + k] = k < p.K ? p.a[m * p.lda + k] : from_acc<T>(0.0f);
    __syncthreads();
    const int warp = static_cast<int>(threadIdx.x) / kWarp,
              lane = static_cast<int>(threadIdx.x) % kWarp;
    const int packs = p.padded * kBits / 8 / 16;
    for (int n = static_cast<int>(blockIdx.x) * kWarps + warp; n < p.N;
         n += static_cast<int>(gridDim.x) * kWarps) {
        const uint8_t* row = p.b + n * p.row_bytes;
        float sum[kRows] = {};
        for (int pack = lane; pack < packs; pack += kWarp) {
            const Place<kBits> at = load_place<kBits>(row, pack, p.padded);
            float part[kRows] = {};
            at.codes.each([&](int k, float code) {
#pragma unroll
                for (int m = 0; m < kRows; ++m)
                    part[m] += code * to_acc(rows[min(m, p.M - 1) * p.padded + at.first + k]);
            });
#pragma unroll
            for (int m = 0; m < kRows; ++m) sum[m] += at.scale * part[m];
        }
#pragma unroll
        for (int m = 0; m < kRows; ++m) {
            const float total = warp_sum(sum[m]);
            if (lane == 0 && m < p.M) put(p, m, n, total);
        }
    }
}

// out [N,K] = b, a warp a row.
template <class T, int kBits>
__global__ void __launch_bounds__(kThreads)
    widen_kernel(T* out, const uint8_t* b, int64_t row_bytes, int N, int K, int padded) {
    const int warp = static_cast<int>(threadIdx.x) / kWarp,
              lane = static_cast<int>(threadIdx.x) % kWarp;
    const int n = static_cast<int>(blockIdx.x) * kWarps + warp;
    if (n >= N) return;
    const bool whole = K % kVec<T> == 0;
    for (int pack = lane; pack < padded * kBits / 8 / 16; pack += kWarp) {
        const Place<kBits> at = load_place<kBits>(b + n * row_bytes, pack, padded);
        T* to = out + int64_t{n} * K + at.first;
        constexpr int kSpan = Codes<kBits>::kSpan, kApart = Codes<kBits>::kApart, V = kVec<T>;
        alignas(16) T numbers[2][kSpan];
        at.codes.each([&](int k, float code) {
            numbers[k >= kApart ? 1 : 0][k % kApart] = from_acc<T>(code * at.scale);
        });
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
            for (int k = 0; k < kSpan; k += V) {
                const int place = half * kApart + k;
                if (whole) { // packs of 16 bytes
                    if (at.first + place < K)
                        store_pack(to + place, load_pack<V>(numbers[half] + k));
                } else {
                    for (int i = 0; i < V; ++i)
                        if (at.first + place + i < K) to[place + i] = numbers[half][k + i];
                }
            }
    }
}

// More rows wait longer for shared memory than widened weights, of which a piece stays in the
// second-level cache, take to be written and read.
constexpr int64_t kMostRows = 2;

// What both ways need of a format: f.template operator()<bits>().
template <class F> void with_bits(QuantFormat format, F&& f) {
    if (format == QuantFormat::int8)
        f.template operator()<8>();
    else
        f.template operator()<4>();
}

bool reads_once(int64_t M, int64_t K, DType dtype) {
    return dtype != DType::f64 && M <= kMostRows &&
           fits_few_rows(M, quant_padded(QuantFormat::int8, K), size_of(dtype));
}

template <class T>
void few_rows_of(const CudaStream& stream, const Tensor& c, const Tensor& a, const QuantMatrix& b,
                 const QuantShape& s, float beta) {
    using D = DeviceType<T>;
    Arguments<D> p;
    p.a = device_data<T>(a);
    p.b = b.bytes.as<uint8_t>();
    p.c = c.data;
    p.lda = a.stride[0];
    p.ldc = c.stride[0];
    p.row_bytes = b.bytes.shape[1];
    p.M = static_cast<int>(s.M);
    p.N = static_cast<int>(s.N);
    p.K = static_cast<int>(s.K);
    p.padded = static_cast<int>(quant_padded(b.format, s.K));
    p.adds = beta != 0;
    p.wide = c.dtype != a.dtype;
    const int64_t blocks = std::min<int64_t>((s.N + kWarps - 1) / kWarps,
                                             kBlocksPerSm * stream.props.multiProcessorCount);
    const auto shared = static_cast<size_t>(s.M * p.padded * size_of(a.dtype));
    with_bits(b.format, [&]<int kBits>() {
        const auto with = [&](auto rows) {
            launch(stream, quant_rows_kernel<D, kBits, rows()>, dim3(static_cast<unsigned>(blocks)),
                   dim3(kThreads), shared, p);
        };
        if (s.M == 1) return with(std::integral_constant<int, 1>{});
        with(std::integral_constant<int, static_cast<int>(kMostRows)>{});
    });
}

// Rows of b that are widened at once.
int64_t rows_at_once(int64_t N, int64_t K, DType dtype) {
    return std::min(N, std::max<int64_t>(1, kWidened / std::max<int64_t>(1, K * size_of(dtype))));
}

template <class T>
void many_rows_of(Stream& s, const Tensor& c, const Tensor& a, const QuantMatrix& b,
                  const QuantShape& shape, float beta, const Tensor& workspace) {
    const CudaStream& stream = cuda_of(s);
    const auto K = static_cast<int>(shape.K),
               padded = static_cast<int>(quant_padded(b.format, shape.K));
    const int64_t step = rows_at_once(shape.N, shape.K, a.dtype);
    for (int64_t n = 0; n < shape.N; n += step) {
        const int64_t rows = std::min(step, shape.N - n);
        const Tensor wide(workspace.data, a.dtype, {rows, shape.K});
        const uint8_t* from = b.bytes.as<uint8_t>() + n * b.bytes.shape[1];
        with_bits(b.format, [&]<int kBits>() {
            launch(stream, widen_kernel<DeviceType<T>, kBits>, dim3(blocks_for(rows, kWarps)),
                   dim3(kThreads), 0, device_data<T>(wide), from, b.bytes.shape[1],
                   static_cast<int>(rows), K, padded);
        });
        gemm(s, c.slice(1, n, n + rows), a, wide, false, true, 1, beta);
    }
}

} // namespace

size_t quant_workspace(int64_t M, int64_t N, int64_t K, DType dtype) {
    if (reads_once(M, K, dtype)) return 0;
    return static_cast<size_t>(rows_at_once(N, K, dtype) * K * size_of(dtype));
}

void quant_gemm(Stream& s, Tensor c, Tensor a, QuantMatrix b, float beta, Tensor workspace) {
    const QuantShape shape = check_quant_gemm(c, a, b, beta);
    TNL_CHECK(shape.N <= INT32_MAX / 4 && shape.K <= INT32_MAX / 16,
              "quant_gemm: b is [{}, {}], too large", shape.N, shape.K);
    if (shape.M == 0 || shape.N == 0) return;
    if (reads_once(shape.M, shape.K, a.dtype)) {
        if (a.dtype == DType::bf16) return few_rows_of<bf16>(cuda_of(s), c, a, b, shape, beta);
        return few_rows_of<float>(cuda_of(s), c, a, b, shape, beta);
    }
    const auto needed = static_cast<int64_t>(quant_workspace(shape.M, shape.N, shape.K, a.dtype));
    TNL_CHECK(workspace.data && workspace.bytes() >= needed,
              "quant_gemm: a workspace of {} bytes, wanted {}",
              workspace.data ? workspace.bytes() : 0, needed);
    dispatch_float(a.dtype,
                   [&]<class T>() { many_rows_of<T>(s, c, a, b, shape, beta, workspace); });
}

} // namespace tnl::cuda
