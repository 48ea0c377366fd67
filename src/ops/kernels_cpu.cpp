#include "ops/act/act.h"
#include "ops/adam/adam.h"
#include "ops/argmax/argmax.h"
#include "ops/embed/embed.h"
#include "ops/flat/flat.h"
#include "ops/fp8/fp8_cpu.h"
#include "ops/gemm/few_rows.h"
#include "ops/gemm/gemm.h"
#include "ops/lightning/lightning_cpu.h"
#include "ops/loss/loss.h"
#include "ops/norm/norm.h"
#include "ops/position/position.h"
#include "ops/position/rope.h"
#include "ops/quant/quant_cpu.h"
#include "ops/sample/sample.h"
#include "ops/step/step.h"

namespace tnl {

const Kernels& cpu_kernels() {
    static const Kernels kernels{
        .name = "cpu",
        .gemm = fast::gemm,
        .few_rows = oracle::few_rows,
        .few_rows_pays = [](int64_t, int64_t, DType) { return false; },
        .bias_forward = fast::bias_forward,
        .bias_backward = fast::bias_backward,
        .fp8_quantize = oracle::fp8_quantize,
        .fp8_gemm = fast::fp8_gemm,
        .quant_gemm = fast::quant_gemm,
        .quant_workspace = [](int64_t, int64_t, int64_t, DType) { return size_t{0}; },
        .embed_forward = fast::embed_forward,
        .embed_backward = fast::embed_backward,
        .norm_forward = fast::norm_forward,
        .norm_backward = fast::norm_backward,
        .srms_gate_forward = fast::srms_gate_forward,
        .srms_gate_backward = fast::srms_gate_backward,
        .act_forward = fast::act_forward,
        .act_backward = fast::act_backward,
        .gate_forward = fast::gate_forward,
        .gate_backward = fast::gate_backward,
        .lrpe_forward = fast::lrpe_forward,
        .lrpe_backward = fast::lrpe_backward,
        .lightning_forward = lightning_forward_cpu,
        .lightning_backward = lightning_backward_cpu,
        .lightning_workspace = lightning_workspace_cpu,
        .lightning_workspace_most = lightning_workspace_cpu,
        .lightning_plan =
            [](Stream& stream, const LightningShape& shape, bool backward) {
                return lightning_plan_cpu(shape, {}, backward, stream.threads->size());
            },
        .rope = oracle::rope,
        .softmax_forward = fast::softmax_forward,
        .softmax_backward = fast::softmax_backward,
        .softmax_workspace = [](const SoftmaxShape&, bool) { return size_t{0}; },
        .softmax_plan = [](DType) { return std::string("cpu: blocks, products by OpenBLAS"); },
        .cross_entropy = fast::cross_entropy,
        .decode_step = oracle::decode_step,
        .decode_step_pays = [](Stream&, const StepShape&) { return false; },
        .decode_step_workspace = [](const StepShape&) { return size_t{0}; },
        .argmax = oracle::argmax,
        .sample = oracle::sample,
        .sample_pays = [](int64_t) { return false; },
        .mask_rows = fast::mask_rows,
        .adamw = fast::adamw,
        .sum_squares = fast::sum_squares,
        .sum = fast::sum,
        .add = fast::add,
        .cast = fast::cast,
        .scale = fast::scale,
    };
    return kernels;
}

const Kernels& kernels_for(const Device& device) {
    if (device.kind() == DeviceKind::cpu) return cpu_kernels();
    const Kernels* cuda = cuda_kernels();
    TNL_CHECK(cuda, "the device is a GPU, but this build has no CUDA kernels");
    return *cuda;
}

} // namespace tnl
