#include "capi/run.h"

#include "capi/tail.cuh"
#include "ops/entries_cuda.h"
#include "ops/lightning/call_plan.h"
#include "ops/lightning/lightning_sm90_cuda.h"

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
    const ScanTarget gpu = cuda::scan_target(properties_of(call.gpu));
    if (backward)
        return describe(
            plan_call(shape, LightningPass::backward, target_for(gpu, backward_of(call))));
    const LightningForward forward = forward_of(call);
    return describe(plan_call(shape, pass_of(forward), target_for(gpu, forward)));
}

} // namespace tnl::capi
