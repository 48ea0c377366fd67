#include "capi/run.h"

#include "capi/tail.cuh"
#include "ops/entries_cuda.h"
#include "ops/lightning/plan.h"

#include <algorithm>

namespace tnl::capi {
namespace {

// The call's GPU is the thread's current one as long as this lives; the caller's, then, again.
class Current {
  public:
    explicit Current(int gpu) {
        const int count = gpus();
        if (gpu >= count)
            throw DeviceError(fmt::format("lightning: gpu is {}, but {} GPU{} on this machine", gpu,
                                          count == 0 ? std::string("no") : std::to_string(count),
                                          count == 1 ? " answers" : "s answer"));
        check_cuda(cudaGetDevice(&before_), "cudaGetDevice");
        if (before_ != gpu) check_cuda(cudaSetDevice(gpu), "cudaSetDevice");
        changed_ = before_ != gpu;
    }
    ~Current() {
        if (changed_) cudaSetDevice(before_);
    }
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

  private:
    int before_ = 0;
    bool changed_ = false;
};

template <class F> void on_stream(const tnl_lightning& call, F&& f) {
    const Current current(call.gpu);
    CudaStream borrowed(call.gpu, static_cast<cudaStream_t>(call.stream));
    Stream stream{DeviceKind::cuda, nullptr, &borrowed};
    f(stream, borrowed);
}

// The offset at which the last sequence ends, where only the GPU knows it.
const int32_t* end_of(const tnl_lightning& call, const Tensor& cu_seqlens, bool on_device) {
    return on_device && cu_seqlens.data ? call.cu_seqlens + call.sequences : nullptr;
}

bool has_boxes(const tnl_lightning& call, const tnl_rows& rows) {
    const bool strides = (call.B <= 1 || (rows.batch > 0 && rows.batch % 8 == 0)) &&
                         (call.T <= 1 || (rows.token > 0 && rows.token % 8 == 0)) &&
                         (call.H <= 1 || (rows.head > 0 && rows.head % 8 == 0));
    return strides && reinterpret_cast<uintptr_t>(rows.data) % 16 == 0;
}

} // namespace

int gpus() {
    static const int count = [] {
        int n = 0;
        if (cudaGetDeviceCount(&n) == cudaSuccess) return n;
        cudaGetLastError(); // no driver, or no GPU: none to use
        return 0;
    }();
    return count;
}

bool built_with_cuda() { return true; }

int gpu_of(const void* data) {
    int current = 0;
    check_cuda(cudaGetDevice(&current), "cudaGetDevice");
    if (!data) return current;
    cudaPointerAttributes attributes{};
    check_cuda(cudaPointerGetAttributes(&attributes, data), "cudaPointerGetAttributes");
    if (attributes.type != cudaMemoryTypeDevice && attributes.type != cudaMemoryTypeManaged)
        fail("lightning: gpu is TNL_GPU_OF_DATA, but q.data is no GPU's memory");
    return attributes.device;
}

void forward_gpu(const tnl_lightning& call) {
    const LightningForward forward = forward_of(call);
    on_stream(call, [&](Stream& stream, const CudaStream& borrowed) {
        cuda::lightning_forward(stream, forward);
        if (const int32_t* end = end_of(call, forward.cu_seqlens, forward.offsets_on_device))
            zero_tail(borrowed, end, {forward.o});
    });
}

void backward_gpu(const tnl_lightning& call) {
    const LightningBackward backward = backward_of(call);
    on_stream(call, [&](Stream& stream, const CudaStream& borrowed) {
        cuda::lightning_backward(stream, backward);
        if (const int32_t* end = end_of(call, backward.cu_seqlens, backward.offsets_on_device))
            zero_tail(borrowed, end, {backward.dq, backward.dk, backward.dv});
    });
}

size_t workspace_gpu(const tnl_lightning& call, bool backward) {
    const Current current(call.gpu);
    return cuda::lightning_workspace(shape_of(call), backward);
}

std::string plan_gpu(const tnl_lightning& call, bool backward) {
    const LightningShape shape = shape_of(call);
    const Current current(call.gpu);
    const cudaDeviceProp& props = properties_of(call.gpu);
    ScanTarget target{props.major * 10 + props.minor, props.multiProcessorCount, true};
    for (const tnl_rows* rows : {&call.q, &call.k, &call.v})
        target.boxes = target.boxes && has_boxes(call, *rows);
    for (const tnl_rows* rows : {&call.dout, &call.dq, &call.dk, &call.dv})
        target.boxes = target.boxes && (!backward || has_boxes(call, *rows));
    target.boxes = target.boxes && (backward || has_boxes(call, call.o));
    const bool one_token = !backward && call.T == 1 && !call.cu_seqlens;
    if (!one_token) {
        const ScanPlan plan = plan_scan_sm90(shape, backward ? 3 : 1, target);
        if (plan.kernel == ScanKernel::sm90) return describe(plan);
    }
    return describe(plan_scan(shape.sequences, shape.H, shape.D, shape.E, shape.dtype, one_token));
}

} // namespace tnl::capi
