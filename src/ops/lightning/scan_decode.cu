// One token a sequence: reads the state once and writes it once, which is all the time it takes. A
// block has 32 or 64 columns of one head's state; a thread one pack of a row, every so many rows.
// The first rows are asked for before anything else is done.
#include "cuda/early.cuh"
#include "cuda/launch.h"
#include "ops/lightning/scan.cuh"
#include "ops/lightning/scan_decay.cuh"

namespace tnl::cuda {
namespace {

constexpr int kThreads = DecodeShape::kThreads;
constexpr int kInFlight = 8; // rows a thread loads before it stores the first

template <class T, int V, int kTile>
__global__ void __launch_bounds__(kThreads) decode_kernel(const ScanArguments<T> p) {
    using A = AccOf<T>;
    constexpr int kLanes = kTile / V, kGroups = kThreads / kLanes;
    __shared__ A a[kMaxHeadWidth], b[kMaxHeadWidth];
    __shared__ A partial[kGroups][kTile + 1];
    if (!p.settled) wait_for_previous();
    const Walk walk(p);
    const int lane = static_cast<int>(threadIdx.x) % kLanes,
              group = static_cast<int>(threadIdx.x) / kLanes;
    const int tile = static_cast<int>(blockIdx.y) * kTile, column = tile + lane * V;
    const T *row_a = walk.at(p.a, 0), *row_b = walk.at(p.b, 0), *row_c = walk.at(p.c, 0);
    const A* const from = walk.at(p.state_in);
    A* const to = walk.at(p.state_out);
    const bool mine = column < p.N; // with V > 1, N is a multiple of V
    Pack<A, V> z[kInFlight];
    const auto load = [&](int first) {
#pragma unroll
        for (int n = 0; n < kInFlight; ++n) {
            const int k = first + n * kGroups;
            if (from && mine && k < p.K)
                z[n] = load_pack<V>(from + k * p.state_in.key + column);
            else
                z[n] = {};
        }
    };
    load(group);
    if (p.settled) wait_for_previous();
    let_next_begin();
    for (int k = static_cast<int>(threadIdx.x); k < p.K; k += kThreads) {
        a[k] = to_acc(row_a[k]);
        b[k] = to_acc(row_b[k]);
    }
    A c[V] = {}, out[V] = {};
    if (mine)
        for (int i = 0; i < V; ++i) c[i] = to_acc(row_c[column + i]);
    const StepDecay<A> decay(p.slopes[walk.head]);
    __syncthreads();
    for (int first = group; first < p.K; first += kGroups * kInFlight) {
        if (first > group) load(first);
#pragma unroll
        for (int n = 0; n < kInFlight; ++n) {
            const int k = first + n * kGroups;
            if (!mine || k >= p.K) continue;
#pragma unroll
            for (int i = 0; i < V; ++i) {
                z[n].x[i] = decay.step(z[n].x[i], b[k] * c[i]);
                out[i] += a[k] * z[n].x[i];
            }
            if (to) store_pack(to + k * p.state_out.key + column, z[n]);
        }
    }
    for (int i = 0; i < V; ++i) partial[group][lane * V + i] = out[i];
    __syncthreads();
    const int own = static_cast<int>(threadIdx.x);
    if (own >= kTile || tile + own >= p.N) return;
    A sum = 0;
    for (int g = 0; g < kGroups; ++g) sum += partial[g][own];
    walk.at(p.out, 0)[tile + own] = from_acc<T>(sum * p.out_scale);
}

template <class T, int kTile>
void launch_tile(const CudaStream& stream, const ScanPlan& plan, const ScanArguments<T>& p) {
    const dim3 grid(static_cast<unsigned>(plan.grid_x), static_cast<unsigned>(plan.grid_y));
    if (p.packs)
        launch_early(stream, decode_kernel<T, kVec<AccOf<T>>, kTile>, grid, dim3(kThreads),
                     plan.shared, p);
    else
        launch_early(stream, decode_kernel<T, 1, kTile>, grid, dim3(kThreads), plan.shared, p);
}

} // namespace

template <class T>
void scan_decode(const CudaStream& stream, const ScanPlan& plan, const ScanArguments<T>& p) {
    if (plan.tile == DecodeShape::kWideTile)
        launch_tile<T, DecodeShape::kWideTile>(stream, plan, p);
    else
        launch_tile<T, DecodeShape::kTile>(stream, plan, p);
}
template void scan_decode(const CudaStream&, const ScanPlan&, const ScanArguments<float>&);
template void scan_decode(const CudaStream&, const ScanPlan&, const ScanArguments<double>&);
template void scan_decode(const CudaStream&, const ScanPlan&, const ScanArguments<__nv_bfloat16>&);
template void scan_decode(const CudaStream&, const ScanPlan&, const ScanArguments<__half>&);

} // namespace tnl::cuda
