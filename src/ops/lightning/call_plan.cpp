#include "ops/lightning/call_plan.h"

#include <initializer_list>

namespace tnl {
namespace {

ScanTarget with_boxes(ScanTarget gpu, std::initializer_list<const Tensor*> tensors) {
    for (const Tensor* x : tensors) gpu.boxes = gpu.boxes && has_boxes(*x);
    return gpu;
}

} // namespace

bool has_boxes(const Tensor& x) {
    if (reinterpret_cast<uintptr_t>(x.data) % 16 != 0) return false;
    for (size_t d = 0; d < 3; ++d) // a single row has no use for its stride
        if (x.shape[d] > 1 && (x.stride[d] <= 0 || x.stride[d] % 8 != 0)) return false;
    return true;
}

ScanTarget target_for(ScanTarget gpu, const LightningForward& call) {
    gpu.boxes = true;
    return with_boxes(gpu, {&call.q, &call.k, &call.v, &call.o});
}
ScanTarget target_for(ScanTarget gpu, const LightningBackward& call) {
    gpu.boxes = true;
    return with_boxes(gpu, {&call.q, &call.k, &call.v, &call.dout, &call.dq, &call.dk, &call.dv});
}

LightningPass pass_of(const LightningForward& call) {
    const bool step = call.q.shape[1] == 1 && !call.cu_seqlens.data;
    return step ? LightningPass::step : LightningPass::forward;
}

ScanPlan plan_call(const LightningShape& shape, LightningPass pass, const ScanTarget& target) {
    const bool step = pass == LightningPass::step;
    if (!step) {
        const ScanPlan plan =
            plan_scan_sm90(shape, pass == LightningPass::backward ? 3 : 1, target);
        if (plan.kernel == ScanKernel::sm90) return plan;
    }
    return plan_scan(shape.sequences, shape.H, shape.D, shape.E, shape.dtype, step);
}

} // namespace tnl
