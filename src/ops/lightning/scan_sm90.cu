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
#include "cuda/stream.h"
#include "ops/lightning/scan_sm90_multiply.cuh"

namespace tnl::cuda {
namespace {

template <class T, int kKeys, int kGroups, bool kStatesOnly>
__global__ void __launch_bounds__((kGroups + 1) * kWarpgroup, Sm90Shared(kKeys, kGroups).blocks)
    scan_sm90_kernel(const __grid_constant__ Sm90Arguments p) {
    constexpr Sm90Shared kShared{kKeys, kGroups};
    if constexpr (kStatesOnly) launch_dependents();
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

// The pass that makes the states between segments lets the one that reads them begin, but for those
// states, before it is done.
template <class Kernel>
void start(const CudaStream& stream, Kernel* kernel, const ScanPlan& plan, dim3 block,
           const Sm90Arguments& p, bool overlaps) {
    const int64_t blocks = static_cast<int64_t>(p.items) * p.cluster;
    const dim3 grid(static_cast<unsigned>(plan.grid_x < blocks ? plan.grid_x : blocks));
    if (grid.x == 0) return;
    check_cuda(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                    cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(plan.shared)),
               "cudaFuncSetAttribute for shared memory");
    cudaLaunchAttribute attributes[2]{};
    attributes[0].id = cudaLaunchAttributeClusterDimension;
    attributes[0].val.clusterDim = {static_cast<unsigned>(p.cluster), 1, 1};
    attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[1].val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = plan.shared;
    config.stream = stream.stream;
    config.attrs = attributes;
    config.numAttrs = overlaps ? 2 : 1;
    const cudaError_t error = cudaLaunchKernelEx(&config, kernel, p);
    if (error != cudaSuccess) cudaGetLastError(); // for the next one
    check_cuda(error, "launch of the sm_90 scan");
}

template <class T, int kKeys, int kGroups>
void launch_scan(const CudaStream& stream, const ScanPlan& plan, const Sm90Arguments& p,
                 bool states_only) {
    const dim3 block((kGroups + 1) * kWarpgroup);
    if (states_only)
        start(stream, scan_sm90_kernel<T, kKeys, kGroups, true>, plan, block, p, false);
    else
        start(stream, scan_sm90_kernel<T, kKeys, kGroups, false>, plan, block, p, p.segments > 1);
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
