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

const Kernels& cpu_oracle_kernels() {
    static const Kernels kernels{
        .name = "cpu oracle",
        .gemm = oracle::gemm,
        .few_rows = oracle::few_rows,
        .few_rows_pays = [](int64_t, int64_t, DType) { return false; },
        .bias_forward = oracle::bias_forward,
        .bias_backward = oracle::bias_backward,
        .fp8_quantize = oracle::fp8_quantize,
        .fp8_gemm = oracle::fp8_gemm,
        .quant_gemm = oracle::quant_gemm,
        .quant_workspace = [](int64_t, int64_t, int64_t, DType) { return size_t{0}; },
        .embed_forward = oracle::embed_forward,
        .embed_backward = oracle::embed_backward,
        .norm_forward = oracle::norm_forward,
        .norm_backward = oracle::norm_backward,
        .srms_gate_forward = oracle::srms_gate_forward,
        .srms_gate_backward = oracle::srms_gate_backward,
        .act_forward = oracle::act_forward,
        .act_backward = oracle::act_backward,
        .gate_forward = oracle::gate_forward,
        .gate_backward = oracle::gate_backward,
        .lrpe_forward = oracle::lrpe_forward,
        .lrpe_backward = oracle::lrpe_backward,
        .lightning_forward = lightning_forward_oracle,
        .lightning_backward = lightning_backward_oracle,
        .lightning_workspace = [](const LightningShape&, bool) { return size_t{0}; },
        .lightning_workspace_most = [](const LightningShape&, bool) { return size_t{0}; },
        .lightning_plan = [](Stream&, const LightningShape&,
                             bool) { return std::string("cpu: token by token"); },
        .rope = oracle::rope,
        .softmax_forward = oracle::softmax_forward,
        .softmax_backward = oracle::softmax_backward,
        .softmax_workspace = [](const SoftmaxShape&, bool) { return size_t{0}; },
        .softmax_plan = [](DType) { return std::string("cpu: every pair of tokens"); },
        .cross_entropy = oracle::cross_entropy,
        .decode_step = oracle::decode_step,
        .decode_step_pays = [](Stream&, const StepShape&) { return false; },
        .decode_step_workspace = [](const StepShape&) { return size_t{0}; },
        .argmax = oracle::argmax,
        .sample = oracle::sample,
        .sample_pays = [](int64_t) { return false; },
        .mask_rows = oracle::mask_rows,
        .adamw = oracle::adamw,
        .sum_squares = oracle::sum_squares,
        .sum = oracle::sum,
        .add = oracle::add,
        .cast = oracle::cast,
        .scale = oracle::scale,
    };
    return kernels;
}

} // namespace tnl
