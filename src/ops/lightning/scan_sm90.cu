// The scan of plan.h on Hopper. A block walks one head's tokens, 64 at a time: one warpgroup has
// the copy engine fetch rows, stages ahead; the others multiply. Each of those owns 64 columns of c
// and keeps, transposed, everything of theirs in registers:
//
//   P^T [j,i] = b a^T, masked by lambda^(i-j)     shared among the warpgroups, through memory
//   o^T [n,i] = (S^T a^T) lambda^i + c^T P^T      S^T and c^T as register operands
//   S^T [n,k] = lambda^64 S^T + (c^T weighted) b
//
// so that the state never leaves the registers: f32 from the first token to the last, rounded only
// as an operand. docs/lightning.md has the picture and the reasons.
#include "cuda/launch.h"
#include "ops/lightning/scan_sm90_multiply.cuh"

namespace tnl::cuda {
namespace {

template <class T, int kKeys, int kGroups, bool kStatesOnly>
__global__ void __launch_bounds__((kGroups + 1) * kWarpgroup, Sm90Shared(kKeys, kGroups).blocks)
    scan_sm90_kernel(const __grid_constant__ Sm90Arguments p) {
    constexpr Sm90Shared kShared{kKeys, kGroups};
    extern __shared__ __align__(1024) unsigned char shared_bytes[];
    const Block<kKeys, kGroups> block{shared_bytes};
    if (threadIdx.x == 0) {
        for (int i = 0; i < kShared.stages; ++i) {
            barrier_init(block.full(i), 1);
            barrier_init(block.empty(i), kGroups * 4 * p.cluster);
        }
        fence_barrier_init();
    }
    __syncthreads();
    if constexpr (kShared.pairs) cluster_barrier();
    if (threadIdx.x / kWarpgroup == kGroups) {
        if constexpr (kShared.moves_registers) lower_registers<kShared.blocks == 1 ? 24 : 40>();
        if (threadIdx.x % kWarpgroup == 0) fetch<kKeys, kGroups, kStatesOnly>(p, block);
    } else {
        if constexpr (kShared.moves_registers) raise_registers<kShared.blocks == 1 ? 240 : 208>();
        Multiplier<T, kKeys, kGroups, kStatesOnly>(p, block).run();
    }
    if constexpr (kShared.pairs) cluster_barrier(); // the other block may still write here
}

void launch_clusters(const CudaStream& stream, void (*kernel)(Sm90Arguments), dim3 grid, dim3 block,
                     size_t shared, unsigned blocks, const Sm90Arguments& p) {
    if (grid.x == 0) return;
    check_cuda(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                    cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared)),
               "cudaFuncSetAttribute for shared memory");
    cudaLaunchAttribute cluster{};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {blocks, 1, 1};
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream.stream;
    config.attrs = &cluster;
    config.numAttrs = 1;
    static_cast<void>(cudaLaunchKernelEx(&config, kernel, p));
    check_launch(kernel, grid, block, shared);
}

template <class T, int kKeys, int kGroups, bool kStatesOnly>
void start(const CudaStream& stream, const ScanPlan& plan, const Sm90Arguments& p) {
    const int64_t blocks = static_cast<int64_t>(p.items) * p.cluster;
    const dim3 grid(static_cast<unsigned>(plan.grid_x < blocks ? plan.grid_x : blocks));
    const dim3 block((kGroups + 1) * kWarpgroup);
    const auto kernel = scan_sm90_kernel<T, kKeys, kGroups, kStatesOnly>;
    if (p.cluster > 1)
        launch_clusters(stream, kernel, grid, block, plan.shared, static_cast<unsigned>(p.cluster),
                        p);
    else
        launch(stream, kernel, grid, block, plan.shared, p);
}

template <class T, int kKeys, int kGroups>
void launch_scan(const CudaStream& stream, const ScanPlan& plan, const Sm90Arguments& p,
                 bool states_only) {
    if (states_only)
        start<T, kKeys, kGroups, true>(stream, plan, p);
    else
        start<T, kKeys, kGroups, false>(stream, plan, p);
}

template <class T>
void launch_widths(const CudaStream& stream, const ScanPlan& plan, const Sm90Arguments& p,
                   bool states_only) {
    if (plan.key_width == 64 && plan.tile == 64)
        return launch_scan<T, 64, 1>(stream, plan, p, states_only);
    if (plan.key_width == 128 && plan.tile == 64)
        return launch_scan<T, 128, 1>(stream, plan, p, states_only);
    if (plan.key_width == 128 && plan.tile == 128)
        return launch_scan<T, 128, 2>(stream, plan, p, states_only);
    if (plan.key_width == 192 && plan.tile == 64)
        return launch_scan<T, 192, 1>(stream, plan, p, states_only);
    if (plan.key_width == 192 && plan.tile == 128)
        return launch_scan<T, 192, 2>(stream, plan, p, states_only);
    if (plan.key_width == 256 && plan.tile == 64)
        return launch_scan<T, 256, 1>(stream, plan, p, states_only);
    if (plan.key_width == 256 && plan.tile == 128)
        return launch_scan<T, 256, 2>(stream, plan, p, states_only);
    fail("lightning attention: no sm_90 kernel of key width {} and tile {}", plan.key_width,
         plan.tile);
}

} // namespace

void scan_sm90(const CudaStream& stream, const ScanPlan& plan, DType dtype, const Sm90Arguments& p,
               bool states_only) {
    if (dtype == DType::bf16) return launch_widths<__nv_bfloat16>(stream, plan, p, states_only);
    if (dtype == DType::f16) return launch_widths<__half>(stream, plan, p, states_only);
    fail("lightning attention: the sm_90 kernel is for bf16 and f16, not {}", name_of(dtype));
}

} // namespace tnl::cuda
