#include "ops/lightning/lightning_sm90_cuda.h"

#include "ops/lightning/call_plan.h"
#include "ops/lightning/scan_sm90.h"

#include <cudaTypedefs.h>

#include <algorithm>
#include <array>

namespace tnl::cuda {
namespace {

// A stride that its dimension makes use of: a single row has none.
int64_t stride_of(const Tensor& x, size_t dimension, int64_t otherwise) {
    return x.shape[dimension] > 1 ? x.stride[dimension] : otherwise;
}

CUtensorMap map_of(const Tensor& x) {
    const int64_t head = stride_of(x, 2, 8), token = stride_of(x, 1, 8), batch = stride_of(x, 0, 8);
    return scan_map(x.data, x.dtype, x.shape[0], batch, x.shape[1], token, x.shape[2], head,
                    x.cols());
}

template <class A> ScanState<A> state_of(const Tensor& x, bool transposed) {
    if (!x.data) return {};
    const int64_t key = x.stride[2], column = x.stride[3];
    return {static_cast<A*>(x.data), x.stride[0], x.stride[1], transposed ? column : key,
            transposed ? key : column};
}

struct Request {
    Tensor a, b, c, out, state_in, state_out;
    bool transposed = false; // states are [.., N, K]
    bool reverse = false;
    int shift = 0;
    float out_scale = 1, product_scale = 1;
};

Sm90Scan scan_of(const Request& r, const Tensor& slopes, const ScanPlan& plan) {
    Sm90Scan s;
    s.a = map_of(r.a);
    s.b = map_of(r.b);
    s.c = map_of(r.c);
    s.out = map_of(r.out);
    s.out_rows = {static_cast<uint16_t*>(r.out.data), r.out.stride[0], r.out.stride[1],
                  r.out.stride[2]};
    s.slopes = slopes.as<float>();
    s.state_in = state_of<const float>(r.state_in, r.transposed);
    s.state_out = state_of<float>(r.state_out, r.transposed);
    s.K = static_cast<int>(r.a.cols());
    s.N = static_cast<int>(r.c.cols());
    s.tiles = (s.N + plan.tile - 1) / plan.tile;
    s.reverse = r.reverse;
    s.shift = r.shift;
    s.out_scale = r.out_scale;
    s.product_scale = r.product_scale;
    return s;
}

// Memory for states between segments, [segment, sequence, head, rows, columns] seen as [.., K, N];
// the last part of it is for the initial ones.
void set_local(Sm90Scan& s, const ScanPlan& plan, float* data, const LightningShape& shape,
               bool transposed) {
    const int64_t rows = transposed ? s.N : s.K, columns = transposed ? s.K : s.N;
    s.local = {data, shape.H * rows * columns, rows * columns, transposed ? 1 : columns,
               transposed ? columns : 1};
    s.local_segment = shape.sequences * shape.H * rows * columns;
    if (!s.state_in.data || plan.segments == 1) return;
    s.initial = s.local;
    s.initial.data += s.local_segment * (plan.segments - 1);
}

int64_t state_elements(const LightningShape& shape) {
    return shape.sequences * shape.H * shape.D * shape.E;
}
size_t padded(int64_t elements) {
    return (static_cast<size_t>(elements) * sizeof(float) + 255) / 256 * 256;
}

void run(const CudaStream& stream, const ScanPlan& plan, const LightningShape& shape,
         Sm90Arguments& p, bool states_only) {
    p.sequences = static_cast<int>(shape.sequences);
    p.heads = static_cast<int>(shape.H);
    p.tokens = static_cast<int>(shape.T);
    p.segments = plan.segments;
    p.tiles = 0;
    p.cluster = plan.cluster;
    for (int i = 0; i < p.scans; ++i)
        p.tiles = std::max(p.tiles, (p.scan[i].tiles + p.cluster - 1) / p.cluster);
    const int64_t items = shape.sequences * shape.H * p.tiles * p.scans *
                          (states_only ? plan.segments - 1 : plan.segments);
    TNL_CHECK(items < (int64_t{1} << 31), "lightning attention on a GPU: {} sequences of {} heads",
              shape.sequences, shape.H);
    p.items = static_cast<int>(items);
    scan_sm90(stream, plan, shape.dtype, p, states_only);
}

} // namespace

CUtensorMap scan_map(const void* data, DType dtype, int64_t batches, int64_t batch, int64_t tokens,
                     int64_t token, int64_t heads, int64_t head, int64_t width) {
    static const auto encode = [] {
        void* function = nullptr;
        cudaDriverEntryPointQueryResult found{};
        check_cuda(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                                    cudaEnableDefault, &found),
                   "cudaGetDriverEntryPointByVersion(cuTensorMapEncodeTiled)");
        TNL_CHECK(found == cudaDriverEntryPointSuccess, "the driver has no cuTensorMapEncodeTiled");
        return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
    }();
    CUtensorMap map{};
    const auto u = [](int64_t x) { return static_cast<cuuint64_t>(x); };
    const cuuint64_t dims[4] = {u(width), u(heads), u(tokens), u(batches)};
    const cuuint64_t strides[3] = {u(head * 2), u(token * 2), u(batch * 2)};
    const cuuint32_t box[4] = {64, 1, Sm90Shared::kChunk, 1}, steps[4] = {1, 1, 1, 1};
    // Lines fetched whole where rows are whole lines; else neighbours' columns would come along.
    const auto promotion = width % 128 == 0  ? CU_TENSOR_MAP_L2_PROMOTION_L2_256B
                           : width % 64 == 0 ? CU_TENSOR_MAP_L2_PROMOTION_L2_128B
                                             : CU_TENSOR_MAP_L2_PROMOTION_NONE;
    const CUresult result = encode(
        &map,
        dtype == DType::f16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4,
        const_cast<void*>(data), dims, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
        CU_TENSOR_MAP_SWIZZLE_128B, promotion, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    TNL_CHECK(result == CUDA_SUCCESS,
              "cuTensorMapEncodeTiled failed ({}) for [{}, {}, {}, {}] with strides {}, {}, {}",
              static_cast<int>(result), batches, tokens, heads, width, batch, token, head);
    return map;
}

ScanTarget scan_target(const cudaDeviceProp& gpu) {
    return {gpu.major * 10 + gpu.minor, gpu.multiProcessorCount, true};
}
ScanTarget scan_target(const CudaStream& stream, const LightningForward& call) {
    return target_for(scan_target(stream.props), call);
}
ScanTarget scan_target(const CudaStream& stream, const LightningBackward& call) {
    return target_for(scan_target(stream.props), call);
}

size_t sm90_state_bytes(const LightningShape& shape, const ScanPlan& plan, bool backward) {
    if (plan.kernel != ScanKernel::sm90 || plan.segments == 1) return 0;
    return (backward ? 2 : 1) * padded(state_elements(shape) * plan.segments);
}

size_t sm90_most_state_bytes(const LightningShape& shape, const ScanTarget& target, bool backward) {
    const int64_t states = most_segment_states(shape, target);
    return (backward ? 2 : 1) * padded(states * shape.D * shape.E);
}

void sm90_forward(const CudaStream& stream, const ScanPlan& plan, const LightningShape& shape,
                  const LightningForward& call, const int32_t* cu_seqlens, float* states) {
    Request o;
    o.a = call.q;
    o.b = call.k;
    o.c = call.v;
    o.out = call.o;
    o.state_in = call.state_in;
    o.state_out = call.state_out;
    o.out_scale = call.scale;
    Sm90Arguments p;
    p.scans = 1;
    p.cu_seqlens = cu_seqlens;
    if (call.slots.rank) p.slots = call.slots.as<int32_t>();
    p.scan[0] = scan_of(o, call.slopes, plan);
    set_local(p.scan[0], plan, states, shape, false);
    if (plan.segments > 1) run(stream, plan, shape, p, true);
    run(stream, plan, shape, p, false);
}

void sm90_backward(const CudaStream& stream, const ScanPlan& plan, const LightningShape& shape,
                   const LightningBackward& call, const int32_t* cu_seqlens, float* states) {
    float* const second = states + padded(state_elements(shape) * plan.segments) / sizeof(float);
    Request dk, dv, dq;
    dq.a = call.dout;
    dq.b = call.v;
    dq.c = call.k;
    dq.out = call.dq;
    dq.state_in = call.state_in;
    dq.transposed = true;
    dq.out_scale = call.scale;

    dv.a = call.k;
    dv.b = call.q;
    dv.c = call.dout;
    dv.out = call.dv;
    dv.state_in = call.dstate_out;
    dv.state_out = call.dstate_in;
    dv.reverse = true;
    dv.shift = 1;
    dv.product_scale = call.scale;

    dk.a = call.v;
    dk.b = call.dout;
    dk.c = call.q;
    dk.out = call.dk;
    dk.state_in = call.dstate_out;
    dk.transposed = true;
    dk.reverse = true;
    dk.shift = 1;
    dk.product_scale = call.scale;

    Sm90Scan scans[3] = {scan_of(dv, call.slopes, plan), scan_of(dq, call.slopes, plan),
                         scan_of(dk, call.slopes, plan)};
    set_local(scans[0], plan, states, shape, false);
    set_local(scans[1], plan, second, shape, false);
    set_local(scans[2], plan, states, shape, true); // dv's, transposed
    Sm90Arguments p;
    p.cu_seqlens = cu_seqlens;
    if (call.slots.rank) p.slots = call.slots.as<int32_t>();
    if (plan.segments > 1) {
        p.scans = 2;
        p.scan[0] = scans[0];
        p.scan[1] = scans[1];
        run(stream, plan, shape, p, true);
    }
    // dk and dv side by side: they read the same rows at the same time, one of them from the L2.
    p.scans = 3;
    p.scan[0] = scans[0];
    p.scan[1] = scans[2];
    p.scan[2] = scans[1];
    run(stream, plan, shape, p, false);
}

} // namespace tnl::cuda
