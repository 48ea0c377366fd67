// The scan of plan.h for f32 and f64, and f16 where the sm_90 kernel does not serve: 32 tokens a
// step, plain multiply-adds in the sums' type A (no TF32), the state in shared memory. A lane has a
// column, a warp every eighth row.
#include "cuda/launch.h"
#include "ops/lightning/scan.cuh"

namespace tnl::cuda {
namespace {

constexpr int kChunk = PlainShared::kChunk, kTile = PlainShared::kTile;
constexpr int kThreads = PlainShared::kThreads, kWarps = kThreads / 32;
constexpr int kRows = kChunk / kWarps; // rows of a chunk that one thread works on
constexpr int kProductStride = PlainShared::kProductStride;
static_assert(kTile == 32 && kChunk == 32, "one lane, one column");

// kChunk rows of `width` columns, of which `rows` and `cols` exist; the rest become 0.
template <class A, class T>
__device__ void load_rows(A* to, int to_stride, const T* from, int64_t step, int rows, int cols,
                          int width) {
    for (int i = static_cast<int>(threadIdx.x); i < kChunk * width; i += kThreads) {
        const int r = i / width, col = i - r * width;
        to[r * to_stride + col] = r < rows && col < cols ? to_acc(from[r * step + col]) : A{0};
    }
}

template <class T>
__global__ void __launch_bounds__(kThreads) scan_kernel(const ScanArguments<T> p) {
    using A = AccOf<T>;
    extern __shared__ __align__(16) unsigned char shared_bytes[];
    const PlainShared place(p.K);
    A* const shared = reinterpret_cast<A*>(shared_bytes);
    A *const a = shared + place.a, *const b = shared + place.b, *const c = shared + place.c;
    A *const state = shared + place.state, *const product = shared + place.product;
    A* const powers = shared + place.powers;
    const int stride = place.key_stride;
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;

    const Walk walk(p);
    const int column = static_cast<int>(blockIdx.y) * kTile;
    const int columns = p.N - column < kTile ? p.N - column : kTile;
    fill_powers(powers, p.slopes[walk.head], kChunk + 1);
    const A* from = walk.at(p.state_in);
    for (int k = warp; k < p.K; k += kWarps)
        state[k * kTile + lane] =
            from && lane < columns ? from[k * p.state_in.key + (column + lane) * p.state_in.column]
                                   : A{0};

    for (int begin = 0; begin < walk.length; begin += kChunk) {
        const int rows = walk.length - begin < kChunk ? walk.length - begin : kChunk;
        __syncthreads(); // the last chunk is read
        load_rows(a, stride, walk.at(p.a, begin), walk.stride(p.a), rows, p.K, p.K);
        load_rows(b, stride, walk.at(p.b, begin), walk.stride(p.b), rows, p.K, p.K);
        load_rows(c, kTile, walk.at(p.c, begin) + column, walk.stride(p.c), rows, columns, kTile);
        __syncthreads();

        A score[kRows] = {}, out[kRows] = {}; // rows warp, warp + 8, ..; column lane
        for (int k = 0; k < p.K; ++k) {
            const A bk = b[lane * stride + k], zk = state[k * kTile + lane];
#pragma unroll
            for (int i = 0; i < kRows; ++i) {
                const A ak = a[(warp + i * kWarps) * stride + k];
                score[i] += ak * bk;
                out[i] += ak * zk;
            }
        }
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
            const int r = warp + i * kWarps;
            product[r * kProductStride + lane] =
                lane <= r ? score[i] * (powers[r - lane] * p.product_scale) : A{0};
            out[i] *= powers[r + 1 - p.shift];
        }
        __syncwarp(); // a row of the product is written and read by one warp
        for (int j = 0; j < rows; ++j) {
            const A cj = c[j * kTile + lane];
#pragma unroll
            for (int i = 0; i < kRows; ++i)
                out[i] += product[(warp + i * kWarps) * kProductStride + j] * cj;
        }
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
            const int r = warp + i * kWarps;
            if (r < rows && lane < columns)
                (walk.at(p.out, begin) + r * walk.stride(p.out))[column + lane] =
                    from_acc<T>(out[i] * p.out_scale);
        }
        __syncthreads();   // the state is read
        A decayed[kChunk]; // c times the decay from its token to the state after the chunk
#pragma unroll
        for (int j = 0; j < kChunk; ++j)
            decayed[j] =
                j < rows ? c[j * kTile + lane] * (powers[rows - 1 - j + p.shift] * p.product_scale)
                         : A{0};
        for (int k = warp; k < p.K; k += kWarps) {
            A sum = state[k * kTile + lane] * powers[rows];
#pragma unroll
            for (int j = 0; j < kChunk; ++j) sum += b[j * stride + k] * decayed[j];
            state[k * kTile + lane] = sum;
        }
    }
    // Each element of the state was last written by the thread that reads it here.
    A* to = walk.at(p.state_out);
    if (to && lane < columns)
        for (int k = warp; k < p.K; k += kWarps)
            to[k * p.state_out.key + (column + lane) * p.state_out.column] =
                state[k * kTile + lane];
}

} // namespace

template <class T>
void scan_plain(const CudaStream& stream, const ScanPlan& plan, const ScanArguments<T>& p) {
    launch(stream, scan_kernel<T>,
           dim3(static_cast<unsigned>(plan.grid_x), static_cast<unsigned>(plan.grid_y)),
           dim3(kThreads), plan.shared, p);
}
template void scan_plain(const CudaStream&, const ScanPlan&, const ScanArguments<float>&);
template void scan_plain(const CudaStream&, const ScanPlan&, const ScanArguments<double>&);
template void scan_plain(const CudaStream&, const ScanPlan&, const ScanArguments<__half>&);

} // namespace tnl::cuda
