#include "ops/entries_cuda.h"
#include "ops/lightning/call_plan.h"
#include "ops/lightning/lightning_sm90_cuda.h"
#include "ops/lightning/scan_cuda.h"
#include "tensor/device_cuda.h"

namespace tnl::cuda {
namespace {

template <class T> struct OnDevice { using type = T; };
template <> struct OnDevice<bf16> { using type = __nv_bfloat16; };
template <> struct OnDevice<f16> { using type = __half; };

// A request in tensors, before its dtype becomes a type.
struct Request {
    bool settled = false; // LightningForward::state_settled
    Tensor a, b, c, out, state_in, state_out;
    bool transposed = false; // states are [.., N, K]
    bool reverse = false;
    int shift = 0;
    float out_scale = 1, product_scale = 1;
};
struct Common {
    LightningShape shape;
    Tensor slopes;
    const int32_t* cu_seqlens = nullptr; // device
    const int32_t* slots = nullptr;      // device
};

// Every row begins at a multiple of `bytes`, and the width is whole packs.
bool aligned(const Tensor& x, int64_t bytes) {
    const int64_t size = size_of(x.dtype);
    bool ok = reinterpret_cast<uintptr_t>(x.data) % static_cast<uintptr_t>(bytes) == 0 &&
              x.cols() * size % bytes == 0;
    for (size_t i = 0; i + 1 < static_cast<size_t>(x.rank); ++i)
        ok = ok && (x.shape[i] == 1 || x.stride[i] * size % bytes == 0);
    return ok;
}

template <class D> ScanRows<D> rows_of_scan(const Tensor& x) {
    return {static_cast<D*>(x.data), x.stride[0], x.stride[1], x.stride[2]};
}
template <class A> ScanState<A> state_of_scan(const Tensor& x, bool transposed) {
    if (!x.data) return {};
    const int64_t key = x.stride[2], column = x.stride[3];
    return {static_cast<A*>(x.data), x.stride[0], x.stride[1], transposed ? column : key,
            transposed ? key : column};
}

template <class T>
void scan(const CudaStream& stream, const Common& common, const Request& r, bool decode) {
    using D = typename OnDevice<T>::type;
    using A = Accumulator<T>;
    const LightningShape& shape = common.shape;
    ScanArguments<D> p;
    p.a = rows_of_scan<const D>(r.a);
    p.b = rows_of_scan<const D>(r.b);
    p.c = rows_of_scan<const D>(r.c);
    p.out = rows_of_scan<D>(r.out);
    p.slopes = common.slopes.as<A>();
    p.state_in = state_of_scan<const A>(r.state_in, r.transposed);
    p.state_out = state_of_scan<A>(r.state_out, r.transposed);
    p.cu_seqlens = common.cu_seqlens;
    p.slots = common.slots;
    p.tokens = static_cast<int>(shape.T);
    p.heads = static_cast<int>(shape.H);
    p.K = static_cast<int>(r.a.cols());
    p.N = static_cast<int>(r.c.cols());
    p.settled = r.settled;
    p.reverse = r.reverse;
    p.shift = r.shift;
    p.out_scale = r.out_scale;
    p.product_scale = r.product_scale;
    p.pairs = aligned(r.out, 4);
    const ScanPlan plan = plan_scan(shape.sequences, shape.H, p.K, p.N, shape.dtype, decode);
    if (decode) {
        // c and out are read and written by the element; only the state moves in packs.
        p.packs = (!r.state_in.data || aligned(r.state_in, 16)) &&
                  (!r.state_out.data || aligned(r.state_out, 16)) &&
                  p.N % (16 / static_cast<int>(sizeof(A))) == 0;
        return scan_decode(stream, plan, p);
    }
    p.packs = aligned(r.a, 16) && aligned(r.b, 16) && aligned(r.c, 16);
    if constexpr (std::is_same_v<T, bf16>)
        scan_tensor_cores(stream, plan, p);
    else
        scan_plain(stream, plan, p);
}

void scan_any(const CudaStream& stream, const Common& common, const Request& r, bool decode) {
    if (common.shape.dtype == DType::f16) return scan<f16>(stream, common, r, decode);
    dispatch_float(common.shape.dtype, [&]<class T>() { scan<T>(stream, common, r, decode); });
}

// The workspace: cu_seqlens, then the states between segments.
size_t boundaries_bytes(const LightningShape& shape) {
    if (shape.B != 1) return 0;
    return (static_cast<size_t>(shape.sequences + 1) * sizeof(int32_t) + 255) / 256 * 256;
}
float* states_of(const LightningShape& shape, const Tensor& workspace, size_t bytes) {
    if (bytes == 0) return nullptr;
    const size_t begin = boundaries_bytes(shape), end = begin + bytes;
    TNL_CHECK(workspace.data && static_cast<size_t>(workspace.bytes()) >= end,
              "lightning attention: workspace of {} bytes, wanted {}",
              workspace.data ? workspace.bytes() : 0, end);
    return reinterpret_cast<float*>(static_cast<char*>(workspace.data) + begin);
}

// The GPU of this thread, for calls that have no stream yet.
ScanTarget current_target() {
    int device = 0, major = 0, minor = 0, count = 0;
    check_cuda(cudaGetDevice(&device), "cudaGetDevice");
    const auto ask = [&](int& value, cudaDeviceAttr attribute) {
        check_cuda(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
    };
    ask(major, cudaDevAttrComputeCapabilityMajor);
    ask(minor, cudaDevAttrComputeCapabilityMinor);
    ask(count, cudaDevAttrMultiProcessorCount);
    return {major * 10 + minor, count, true};
}

Common common_of(CudaStream& stream, const LightningShape& shape, const Tensor& slopes,
                 const Tensor& cu_seqlens, bool offsets_on_device, const Tensor& workspace) {
    TNL_CHECK(slopes.contiguous(), "lightning attention: slopes are not contiguous");
    TNL_CHECK(shape.T < (int64_t{1} << 31) - 64, "lightning attention: {} tokens", shape.T);
    Common common{shape, slopes};
    if (cu_seqlens.data && offsets_on_device) common.cu_seqlens = cu_seqlens.as<int32_t>();
    if (!cu_seqlens.data || offsets_on_device) return common;
    const auto bytes = static_cast<size_t>(shape.sequences + 1) * sizeof(int32_t);
    TNL_CHECK(workspace.data && static_cast<size_t>(workspace.bytes()) >= bytes,
              "lightning attention: workspace of {} bytes, wanted {}",
              workspace.data ? workspace.bytes() : 0, bytes);
    // The runtime copies pageable memory before it returns: the caller may reuse it at once.
    check_cuda(cudaMemcpyAsync(workspace.data, cu_seqlens.as<int32_t>(), bytes,
                               cudaMemcpyHostToDevice, stream.stream),
               "upload of cu_seqlens");
    common.cu_seqlens = static_cast<const int32_t*>(workspace.data);
    return common;
}

} // namespace

size_t lightning_workspace(const LightningShape& shape, bool backward) {
    // As if the copy engine served: which it may not, once the tensors are known.
    const ScanPlan plan = plan_scan_sm90(shape, backward ? 3 : 1, current_target());
    return boundaries_bytes(shape) + sm90_state_bytes(shape, plan, backward);
}

size_t lightning_workspace_most(const LightningShape& shape, bool backward) {
    return boundaries_bytes(shape) + sm90_most_state_bytes(shape, current_target(), backward);
}

std::string lightning_plan(Stream& s, const LightningShape& shape, bool backward) {
    const LightningPass pass = backward ? LightningPass::backward
                               : shape.T == 1 && shape.sequences == shape.B
                                   ? LightningPass::step
                                   : LightningPass::forward;
    return describe(plan_call(shape, pass, scan_target(cuda_of(s).props)));
}

void lightning_forward(Stream& s, const LightningForward& call) {
    const LightningShape shape = check(call);
    CudaStream& stream = cuda_of(s);
    Common common = common_of(stream, shape, call.slopes, call.cu_seqlens, call.offsets_on_device,
                              call.workspace);
    if (call.slots.rank) common.slots = call.slots.as<int32_t>();
    const ScanPlan plan = plan_call(shape, pass_of(call), scan_target(stream, call));
    if (plan.kernel == ScanKernel::sm90)
        return sm90_forward(stream, plan, shape, call, common.cu_seqlens,
                            states_of(shape, call.workspace, sm90_state_bytes(shape, plan, false)));
    Request o;
    o.a = call.q;
    o.b = call.k;
    o.c = call.v;
    o.out = call.o;
    o.state_in = call.state_in;
    o.state_out = call.state_out;
    o.out_scale = call.scale;
    o.settled = call.state_settled;
    scan_any(stream, common, o, plan.kernel == ScanKernel::decode);
}

void lightning_backward(Stream& s, const LightningBackward& call) {
    const LightningShape shape = check(call);
    CudaStream& stream = cuda_of(s);
    Common common = common_of(stream, shape, call.slopes, call.cu_seqlens, call.offsets_on_device,
                              call.workspace);
    if (call.slots.rank) common.slots = call.slots.as<int32_t>();
    const ScanPlan plan = plan_call(shape, LightningPass::backward, scan_target(stream, call));
    if (plan.kernel == ScanKernel::sm90)
        return sm90_backward(stream, plan, shape, call, common.cu_seqlens,
                             states_of(shape, call.workspace, sm90_state_bytes(shape, plan, true)));
    Request dq;
    dq.a = call.dout;
    dq.b = call.v;
    dq.c = call.k;
    dq.out = call.dq;
    dq.state_in = call.state_in;
    dq.transposed = true;
    dq.out_scale = call.scale;
    scan_any(stream, common, dq, false);

    Request dk;
    dk.a = call.v;
    dk.b = call.dout;
    dk.c = call.q;
    dk.out = call.dk;
    dk.state_in = call.dstate_out;
    dk.transposed = true;
    dk.reverse = true;
    dk.shift = 1;
    dk.product_scale = call.scale;
    scan_any(stream, common, dk, false);

    Request dv;
    dv.a = call.k;
    dv.b = call.q;
    dv.c = call.dout;
    dv.out = call.dv;
    dv.state_in = call.dstate_out;
    dv.state_out = call.dstate_in;
    dv.reverse = true;
    dv.shift = 1;
    dv.product_scale = call.scale;
    scan_any(stream, common, dv, false);
}

} // namespace tnl::cuda
