// The scan of plan.h for bf16: 64 tokens a step, products on the tensor cores with f32 sums. The
// state stays in f32 registers from the first token to the last; where it, the scores or the
// decayed values become operands of a product, they go as the sum of two bf16, so nothing is
// rounded to bf16 but the result.
#include "cuda/launch.h"
#include "cuda/mma.cuh"
#include "ops/lightning/scan.cuh"

namespace tnl::cuda {
namespace {

constexpr int kChunk = MmaShared::kChunk, kTile = MmaShared::kTile, kThreads = MmaShared::kThreads;
constexpr int kTileStride = MmaShared::kTileStride;
static_assert(kChunk == 64 && kTile == 64 && kThreads == 256, "the warps' shares below say so");

__device__ int warp() { return static_cast<int>(threadIdx.x) / 32; }
__device__ int group() { return static_cast<int>(threadIdx.x) % 32 / 4; } // row in a fragment
__device__ int pair() { return static_cast<int>(threadIdx.x) % 4 * 2; }   // column

// kChunk rows of `padded` columns, of which `rows` and `cols` exist; the rest become 0.
__device__ void load_rows(Bf16* to, int to_stride, const Bf16* from, int64_t step, int rows,
                          int cols, int padded, bool packs) {
    if (packs) {
        const int per_row = padded / 8;
        for (int i = static_cast<int>(threadIdx.x); i < kChunk * per_row; i += kThreads) {
            const int r = i / per_row, col = (i - r * per_row) * 8;
            const bool valid = r < rows && col < cols;
            copy_async_16(to + r * to_stride + col, valid ? from + r * step + col : from, valid);
        }
        return;
    }
    for (int i = static_cast<int>(threadIdx.x); i < kChunk * padded; i += kThreads) {
        const int r = i / padded, col = i - r * padded;
        const bool valid = r < rows && col < cols;
        to[r * to_stride + col] = valid ? from[r * step + col] : __float2bfloat16_rn(0.0f);
    }
}

__device__ void store_split(Bf16* high, Bf16* low, int at, float x0, float x1) {
    const Split2 s = split(x0, x1);
    *reinterpret_cast<__nv_bfloat162*>(high + at) = s.high;
    *reinterpret_cast<__nv_bfloat162*>(low + at) = s.low;
}

// The [key width, 64] state of a block: 8 warps hold tiles of 16 x 8, each warp kTilesM x kTilesN.
template <int kKeys> struct State {
    static constexpr int kWarpsM = kKeys / 16 < 8 ? kKeys / 16 : 8, kWarpsN = 8 / kWarpsM;
    static constexpr int kTilesM = kKeys / 16 / kWarpsM, kTilesN = 8 / kWarpsN;
    FragmentC z[kTilesM][kTilesN];

    // First key and column of a tile.
    static __device__ int key(int m) { return (warp() % kWarpsM + m * kWarpsM) * 16; }
    static __device__ int column(int n) { return (warp() / kWarpsM * kTilesN + n) * 8; }

    // f(value, key, column) for every element of this thread.
    template <class F> __device__ void each(F f) {
#pragma unroll
        for (int m = 0; m < kTilesM; ++m)
#pragma unroll
            for (int n = 0; n < kTilesN; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i)
                    f(z[m][n].r[i], key(m) + group() + i / 2 * 8, column(n) + pair() + i % 2);
    }

    __device__ void read(const float* from, const ScanState<const float>& s, int keys,
                         int columns) {
        each([&](float& value, int k, int n) {
            value = from && k < keys && n < columns ? from[k * s.key + n * s.column] : 0.0f;
        });
    }
    __device__ void write(float* to, const ScanState<float>& s, int keys, int columns) {
        each([&](float& value, int k, int n) {
            if (k < keys && n < columns) to[k * s.key + n * s.column] = value;
        });
    }
    __device__ void publish(Bf16* high, Bf16* low) const {
#pragma unroll
        for (int m = 0; m < kTilesM; ++m)
#pragma unroll
            for (int n = 0; n < kTilesN; ++n)
#pragma unroll
                for (int half = 0; half < 2; ++half)
                    store_split(high, low,
                                (key(m) + group() + half * 8) * kTileStride + column(n) + pair(),
                                z[m][n].r[2 * half], z[m][n].r[2 * half + 1]);
    }
    // z = decay z + b^T c over `rows` tokens, c as high + low; b has `keys` columns.
    __device__ void update(const Bf16* b, int b_stride, const Bf16* high, const Bf16* low,
                           float decay, int rows, int keys) {
        each([&](float& value, int, int) { value *= decay; });
        for (int j = 0; j < rows; j += 16) {
            FragmentA a[kTilesM] = {};
#pragma unroll
            for (int m = 0; m < kTilesM; ++m)
                if (key(m) < keys) a[m] = load_a_from_km(b + j * b_stride + key(m), b_stride);
#pragma unroll
            for (int n = 0; n < kTilesN; n += 2) {
                const FragmentB h = load_b_from_kn(high + j * kTileStride + column(n), kTileStride);
                const FragmentB l = load_b_from_kn(low + j * kTileStride + column(n), kTileStride);
#pragma unroll
                for (int m = 0; m < kTilesM; ++m)
#pragma unroll
                    for (int half = 0; half < 2; ++half) {
                        mma(z[m][n + half], a[m], h, half);
                        mma(z[m][n + half], a[m], l, half);
                    }
            }
        }
    }
};

// A warp's 16 x 32 share of a 64 x 64 product: rows row()..+15, columns column()..+31.
struct Share {
    FragmentC r[4];
    __device__ Share() {
#pragma unroll
        for (int n = 0; n < 4; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) r[n].r[i] = 0.0f;
    }
    static __device__ int row() { return warp() % 4 * 16; }
    static __device__ int column() { return warp() / 4 * 32; }
};

// Scores a b^T where j <= i, and a times the state, which share a's fragments.
__device__ void scores_and_inter(Share& scores, Share& inter, const Bf16* a, const Bf16* b,
                                 int key_stride, const Bf16* state_high, const Bf16* state_low,
                                 int keys) {
    for (int k = 0; k < keys; k += 16) {
        const FragmentA fa = load_a(a + Share::row() * key_stride + k, key_stride);
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const int column = Share::column() + h * 16;
            if (column <= Share::row() + 15) { // else all above the diagonal
                const FragmentB fb = load_b_from_nk(b + column * key_stride + k, key_stride);
                mma(scores.r[2 * h], fa, fb, 0);
                mma(scores.r[2 * h + 1], fa, fb, 1);
            }
            const FragmentB high =
                load_b_from_kn(state_high + k * kTileStride + column, kTileStride);
            const FragmentB low = load_b_from_kn(state_low + k * kTileStride + column, kTileStride);
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                mma(inter.r[2 * h + half], fa, high, half);
                mma(inter.r[2 * h + half], fa, low, half);
            }
        }
    }
}

// Scores times decay below the diagonal, 0 above.
__device__ void publish_scores(const Share& scores, Bf16* high, Bf16* low, const float* powers,
                               float scale) {
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int i = Share::row() + group() + half * 8, j = Share::column() + n * 8 + pair();
            const float x0 = j <= i ? scores.r[n].r[2 * half] * (powers[i - j] * scale) : 0.0f;
            const float x1 =
                j + 1 <= i ? scores.r[n].r[2 * half + 1] * (powers[i - j - 1] * scale) : 0.0f;
            store_split(high, low, i * kTileStride + j, x0, x1);
        }
}

// out += product c, the product lower triangular.
__device__ void add_intra(Share& out, const Bf16* high, const Bf16* low, const Bf16* c) {
    for (int j = 0; j <= Share::row(); j += 16) {
        const FragmentA h = load_a(high + Share::row() * kTileStride + j, kTileStride);
        const FragmentA l = load_a(low + Share::row() * kTileStride + j, kTileStride);
#pragma unroll
        for (int n = 0; n < 4; n += 2) {
            const FragmentB b =
                load_b_from_kn(c + j * kTileStride + Share::column() + n * 8, kTileStride);
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                mma(out.r[n + half], h, b, half);
                mma(out.r[n + half], l, b, half);
            }
        }
    }
}

__device__ void store_share(const Share& share, Bf16* out, int64_t step, int rows, int columns,
                            float scale, bool pairs) {
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int i = Share::row() + group() + half * 8, col = Share::column() + n * 8 + pair();
            if (i >= rows || col >= columns) continue;
            Bf16* to = out + i * step + col;
            const float x0 = share.r[n].r[2 * half] * scale,
                        x1 = share.r[n].r[2 * half + 1] * scale;
            if (pairs && col + 1 < columns) {
                *reinterpret_cast<__nv_bfloat162*>(to) = __floats2bfloat162_rn(x0, x1);
            } else {
                to[0] = __float2bfloat16_rn(x0);
                if (col + 1 < columns) to[1] = __float2bfloat16_rn(x1);
            }
        }
}

// c times the decay from its token to the state after the chunk.
__device__ void publish_decayed(const Bf16* c, Bf16* high, Bf16* low, const float* powers, int rows,
                                int shift, float scale) {
    for (int i = static_cast<int>(threadIdx.x); i < kChunk * kTile / 2; i += kThreads) {
        const int j = i / (kTile / 2), at = j * kTileStride + i % (kTile / 2) * 2;
        const float weight = j < rows ? powers[rows - 1 - j + shift] * scale : 0.0f;
        const float2 x = __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(c + at));
        store_split(high, low, at, x.x * weight, x.y * weight);
    }
}

template <int kKeys>
__global__ void __launch_bounds__(kThreads, kKeys <= 128 ? 2 : 1)
    scan_kernel(const ScanArguments<Bf16> p) {
    constexpr MmaShared kShared(kKeys);
    extern __shared__ __align__(16) unsigned char shared_bytes[];
    Bf16* const shared = reinterpret_cast<Bf16*>(shared_bytes);
    Bf16 *const a = shared + kShared.a, *const b = shared + kShared.b,
                *const c = shared + kShared.c;
    Bf16 *const state_high = shared + kShared.state_high, *const state_low =
                                                              shared + kShared.state_low;
    Bf16 *const high = shared + kShared.product_high, *const low = shared + kShared.product_low;
    float* const powers = reinterpret_cast<float*>(shared + kShared.powers);

    const Walk walk(p);
    const int column = static_cast<int>(blockIdx.y) * kTile;
    const int columns = p.N - column < kTile ? p.N - column : kTile;
    const int padded_keys = (p.K + 15) / 16 * 16;
    fill_powers(powers, p.slopes[walk.head], kChunk + 1);
    State<kKeys> state;
    const float* from = walk.at(p.state_in);
    state.read(from ? from + column * p.state_in.column : nullptr, p.state_in, p.K, columns);

    for (int begin = 0; begin < walk.length; begin += kChunk) {
        const int rows = walk.length - begin < kChunk ? walk.length - begin : kChunk;
        __syncthreads(); // the last chunk is read, the powers are there
        load_rows(a, kShared.key_stride, walk.at(p.a, begin), walk.stride(p.a), rows, p.K,
                  padded_keys, p.packs);
        load_rows(b, kShared.key_stride, walk.at(p.b, begin), walk.stride(p.b), rows, p.K,
                  padded_keys, p.packs);
        load_rows(c, kTileStride, walk.at(p.c, begin) + column, walk.stride(p.c), rows, columns,
                  kTile, p.packs);
        state.publish(state_high, state_low);
        copy_async_wait_all();
        __syncthreads();

        Share scores, out;
        scores_and_inter(scores, out, a, b, kShared.key_stride, state_high, state_low, padded_keys);
        publish_scores(scores, high, low, powers, p.product_scale);
#pragma unroll
        for (int n = 0; n < 4; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i)
                out.r[n].r[i] *= powers[Share::row() + group() + i / 2 * 8 + 1 - p.shift];
        __syncthreads(); // scores are there
        add_intra(out, high, low, c);
        store_share(out, walk.at(p.out, begin) + column, walk.stride(p.out), rows, columns,
                    p.out_scale, p.pairs);
        __syncthreads(); // scores are read, their place is free
        publish_decayed(c, high, low, powers, rows, p.shift, p.product_scale);
        __syncthreads();
        state.update(b, kShared.key_stride, high, low, powers[rows], rows, padded_keys);
    }
    float* to = walk.at(p.state_out);
    if (to) state.write(to + column * p.state_out.column, p.state_out, p.K, columns);
}

template <int kKeys>
void launch_scan(const CudaStream& stream, const ScanPlan& plan, const ScanArguments<Bf16>& p) {
    static_assert(MmaShared(kKeys).bytes <= kMaxSharedMemory);
    launch(stream, scan_kernel<kKeys>,
           dim3(static_cast<unsigned>(plan.grid_x), static_cast<unsigned>(plan.grid_y)),
           dim3(kThreads), plan.shared, p);
}

} // namespace

void scan_tensor_cores(const CudaStream& stream, const ScanPlan& plan,
                       const ScanArguments<__nv_bfloat16>& p) {
    switch (plan.key_width) {
    case 64:
        return launch_scan<64>(stream, plan, p);
    case 128:
        return launch_scan<128>(stream, plan, p);
    case 256:
        return launch_scan<256>(stream, plan, p);
    default:
        fail("lightning attention: no tensor-core kernel of key width {}", plan.key_width);
    }
}

} // namespace tnl::cuda
