// Steps on random weights, for tests and benchmarks.
#pragma once

#include "ops/cuda_testbed.h"
#include "ops/step/step.h"

namespace tnl::testing {

struct StepSize {
    int64_t layers, C, heads, width, F, V;
    int lrpe_layers = 1; // the first ones
    QuantFormat matrices = QuantFormat::none, head = QuantFormat::none;
};

// The matrix as it is, or as codes on the bed's device.
inline StepMatrix in_format(Bed& bed, const Tensor& matrix, QuantFormat format) {
    if (format == QuantFormat::none) return matrix;
    const int64_t rows = matrix.shape[0], cols = matrix.shape[1],
                  bytes = quant_row_bytes(format, cols);
    const std::vector<double> values = bed.get(matrix);
    const std::vector<float> floats(values.begin(), values.end());
    std::vector<uint8_t> codes(static_cast<size_t>(rows * bytes));
    for (int64_t r = 0; r < rows; ++r)
        quantize_row(format, codes.data() + r * bytes, floats.data() + r * cols, cols);
    const Tensor memory = bed.bytes(codes.size());
    bed.device.upload(memory.data, codes.data(), codes.size());
    bed.device.synchronize();
    return QuantMatrix{Tensor(memory.data, DType::u8, {rows, bytes}), cols, format};
}

// Weights are as large as those of a trained model, so that numbers keep their size.
inline DecodeStep random_step(Bed& bed, const StepSize& z, Activation act = Activation::silu) {
    const int64_t hidden = z.heads * z.width;
    const auto scale = [](int64_t columns) {
        return 1.7 / std::sqrt(static_cast<double>(columns));
    };
    DecodeStep step;
    for (int64_t l = 0; l < z.layers; ++l) {
        const bool lrpe = l < z.lrpe_layers;
        StepLayer layer;
        layer.qkvu = in_format(bed, bed.input({4 * hidden, z.C}, scale(z.C)), z.matrices);
        if (lrpe) layer.theta = bed.input({z.heads, z.width}, 1);
        layer.out = in_format(bed, bed.input({z.C, hidden}, scale(hidden)), z.matrices);
        layer.uv = in_format(bed, bed.input({2 * z.F, z.C}, scale(z.C)), z.matrices);
        layer.down = in_format(bed, bed.input({z.C, z.F}, scale(z.F)), z.matrices);
        layer.state = bed.acc_input({1, z.heads, (lrpe ? 2 : 1) * z.width, z.width}, 1);
        step.layers.push_back(layer);
    }
    step.embed = bed.input({z.V, z.C}, 1);
    step.head = in_format(bed, bed.input({z.V, z.C}, scale(z.C)), z.head);
    step.embed_scale = 2;
    std::vector<double> slopes;
    for (int64_t i = 0; i < z.layers * z.heads; ++i)
        slopes.push_back(i == 0 ? 5e-6 : 0.84 / static_cast<double>(i));
    step.slopes = bed.values({z.layers, z.heads}, bed.acc, slopes);
    step.eps = 1e-6f;
    step.qk_act = step.gate_act = act;
    step.v_act = Activation::identity;
    step.glu_act = act == Activation::silu ? Activation::identity : Activation::silu;
    step.logits = bed.acc_output({1, z.V});
    step.chosen = bed.ints({-5});
    step.ids = bed.ints({0});
    step.positions = bed.ints({0});
    const size_t bytes = bed.kernels.decode_step_workspace(check_decode_step(step));
    step.workspace = bed.bytes(bytes);
    if (bytes > 0) bed.device.zero(step.workspace.data, bytes);
    return step;
}

// Some tokens, whose logits and choices are kept, and at the end the states.
inline void take_steps(Bed& bed, DecodeStep& step, int tokens) {
    const auto put = [&](const Tensor& to, int32_t value) {
        bed.device.upload(to.data, &value, sizeof value);
        bed.device.synchronize();
    };
    for (int t = 0; t < tokens; ++t) {
        put(step.ids, static_cast<int32_t>((17 * t + 3) % step.embed.shape[0]));
        put(step.positions, 70000 + t);
        bed.kernels.decode_step(bed.stream(), step);
        bed.keep(fmt::format("logits {}", t), step.logits);
    }
    for (size_t l = 0; l < step.layers.size(); ++l)
        bed.keep(fmt::format("state {}", l), step.layers[l].state);
}

} // namespace tnl::testing
