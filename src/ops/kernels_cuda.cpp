#include "ops/entries_cuda.h"

namespace tnl {

const Kernels* cuda_kernels() {
    static const Kernels kernels{
        .name = "cuda",
        .gemm = cuda::gemm,
        .few_rows = cuda::few_rows,
        .few_rows_pays = cuda::few_rows_pays,
        .bias_forward = cuda::bias_forward,
        .bias_backward = cuda::bias_backward,
        .fp8_quantize = cuda::fp8_quantize,
        .fp8_gemm = cuda::fp8_gemm,
        .quant_gemm = cuda::quant_gemm,
        .quant_workspace = cuda::quant_workspace,
        .embed_forward = cuda::embed_forward,
        .embed_backward = cuda::embed_backward,
        .norm_forward = cuda::norm_forward,
        .norm_backward = cuda::norm_backward,
        .srms_gate_forward = cuda::srms_gate_forward,
        .srms_gate_backward = cuda::srms_gate_backward,
        .act_forward = cuda::act_forward,
        .act_backward = cuda::act_backward,
        .gate_forward = cuda::gate_forward,
        .gate_backward = cuda::gate_backward,
        .lrpe_forward = cuda::lrpe_forward,
        .lrpe_backward = cuda::lrpe_backward,
        .lightning_forward = cuda::lightning_forward,
        .lightning_backward = cuda::lightning_backward,
        .lightning_workspace = cuda::lightning_workspace,
        .lightning_workspace_most = cuda::lightning_workspace_most,
        .lightning_plan = cuda::lightning_plan,
        .rope = cuda::rope,
        .softmax_forward = cuda::softmax_forward,
        .softmax_backward = cuda::softmax_backward,
        .softmax_workspace = cuda::softmax_workspace,
        .softmax_plan = cuda::softmax_plan,
        .cross_entropy = cuda::cross_entropy,
        .decode_step = cuda::decode_step,
        .decode_step_pays = cuda::decode_step_pays,
        .decode_step_workspace = cuda::decode_step_workspace,
        .argmax = cuda::argmax,
        .sample = cuda::sample,
        .sample_pays = cuda::sample_pays,
        .mask_rows = cuda::mask_rows,
        .adamw = cuda::adamw,
        .sum_squares = cuda::sum_squares,
        .sum = cuda::sum,
        .add = cuda::add,
        .cast = cuda::cast,
        .scale = cuda::scale,
    };
    return &kernels;
}

} // namespace tnl
