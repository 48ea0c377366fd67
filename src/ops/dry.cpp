#include "ops/dry.h"

namespace tnl {

Kernels dry_kernels(const Kernels& real) {
    return {
        .name = "dry",
        .gemm = [](Stream&, Tensor, Tensor, Tensor, bool, bool, float, float) {},
        .few_rows = [](Stream&, const FewRows&) {},
        .few_rows_pays = real.few_rows_pays,
        .bias_forward = [](Stream&, Tensor, Tensor) {},
        .bias_backward = [](Stream&, Tensor, Tensor) {},
        .fp8_quantize = [](Stream&, Fp8Matrix, Tensor, Tensor) {},
        .fp8_gemm = [](Stream&, Tensor, Fp8Matrix, Fp8Matrix, float, bool) {},
        .embed_forward = [](Stream&, Tensor, Tensor, Tensor, float) {},
        .embed_backward = [](Stream&, Tensor, Tensor, Tensor, float) {},
        .norm_forward = [](Stream&, Tensor, Tensor, Tensor, NormKind, NormWeights, float) {},
        .norm_backward = [](Stream&, Tensor, NormWeights, Tensor, Tensor, Tensor, NormKind,
                            NormWeights, bool, bool) {},
        .srms_gate_forward = [](Stream&, Tensor, Tensor, Tensor, Tensor, float, Activation) {},
        .srms_gate_backward = [](Stream&, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor,
                                 Activation) {},
        .act_forward = [](Stream&, Tensor, Tensor, Activation) {},
        .act_backward = [](Stream&, Tensor, Tensor, Tensor, Activation) {},
        .gate_forward = [](Stream&, Tensor, Tensor, Tensor, Activation) {},
        .gate_backward = [](Stream&, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Activation) {},
        .lrpe_forward = [](Stream&, Tensor, Tensor, Tensor, Tensor) {},
        .lrpe_backward = [](Stream&, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor) {},
        .lightning_forward = [](Stream&, const LightningForward&) {},
        .lightning_backward = [](Stream&, const LightningBackward&) {},
        .lightning_workspace = real.lightning_workspace_most,
        .lightning_workspace_most = real.lightning_workspace_most,
        .lightning_plan = real.lightning_plan,
        .rope = [](Stream&, Tensor, Tensor, Tensor, double, bool) {},
        .softmax_forward = [](Stream&, const SoftmaxForward&) {},
        .softmax_backward = [](Stream&, const SoftmaxBackward&) {},
        .softmax_workspace = real.softmax_workspace,
        .softmax_plan = real.softmax_plan,
        .cross_entropy = [](Stream&, Tensor, Tensor, Tensor, bool, float) {},
        .decode_step = [](Stream&, const DecodeStep&) {},
        .decode_step_pays = real.decode_step_pays,
        .decode_step_workspace = real.decode_step_workspace,
        .argmax = [](Stream&, Tensor, Tensor) {},
        .mask_rows = [](Stream&, Tensor, Tensor) {},
        .adamw = [](Stream&, Tensor, Tensor, Tensor, Tensor, Tensor, const AdamW&) {},
        .sum_squares = [](Stream&, Tensor, Tensor) {},
        .sum = [](Stream&, Tensor, Tensor) {},
        .add = [](Stream&, Tensor, Tensor) {},
        .cast = [](Stream&, Tensor, Tensor) {},
        .scale = [](Stream&, Tensor, float) {},
    };
}

} // namespace tnl
