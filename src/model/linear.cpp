#include "model/linear.h"

#include <algorithm>

namespace tnl {

Tensor Weight::in(const Tensor& flat) const {
    if (offset < 0) return {};
    TNL_CHECK(!quantized(), "a matrix in {}, wanted floats", name_of(format));
    void* data = flat.data ? static_cast<char*>(flat.data) + offset * size_of(flat.dtype) : nullptr;
    return rows == 0 ? Tensor(data, flat.dtype, {cols}) : Tensor(data, flat.dtype, {rows, cols});
}

Tensor Weight::in(const Gradients& grads) const {
    if (offset < grads.begin) return {};
    return Weight{offset - grads.begin, rows, cols, format}.in(grads.flat);
}

QuantMatrix Weight::quantized_in(const Tensor& flat) const {
    void* data = flat.data ? static_cast<char*>(flat.data) + offset * size_of(flat.dtype) : nullptr;
    return {Tensor(data, DType::u8, {rows, quant_row_bytes(format, cols)}), cols, format};
}

void quantized_product(Run& run, Tensor y, Tensor x, const QuantMatrix& b, bool accumulate) {
    const auto scope = run.scratch.scope();
    const auto bytes =
        static_cast<int64_t>(run.kernels.quant_workspace(x.shape[0], b.rows(), b.cols, run.dtype));
    const Tensor workspace =
        bytes > 0 ? run.scratch.tensor(DType::u8, {bytes}, "quant.workspace") : Tensor{};
    run.kernels.quant_gemm(run.stream, y, x, b, accumulate ? 1 : 0, workspace);
}

bool LoraOptions::applies_to(const std::string& layer) const {
    return targets.empty() ||
           std::any_of(targets.begin(), targets.end(), [&](const std::string& target) {
               return layer == target || layer.ends_with("." + target);
           });
}

Weight add_weight(ParamTable& table, const std::string& name, std::vector<int64_t> shape, Init init,
                  bool adjacent, QuantFormat format) {
    const int64_t cols = shape.back();
    const int64_t rows = shape.size() == 1 ? 0 : shape.front();
    const int index = table.add(name, std::move(shape), init, adjacent, format);
    return {table[index].offset, rows, cols, format};
}

namespace {

// x [M,N] in 8 bits and the transpose, each where wanted.
struct Narrowed {
    Fp8Matrix rows, columns;
};
Narrowed narrowed(Run& run, const Tensor& x, Fp8Format format, bool rows, bool columns) {
    const int64_t M = x.shape[0], N = x.shape[1];
    const Tensor scale = run.scratch.tensor(DType::f32, {1}, "fp8.scale");
    Narrowed out{{{}, scale, format}, {{}, scale, format}};
    if (rows) out.rows.codes = run.scratch.tensor(DType::u8, {M, N}, "fp8.rows");
    if (columns) out.columns.codes = run.scratch.tensor(DType::u8, {N, M}, "fp8.columns");
    run.kernels.fp8_quantize(run.stream, out.rows, out.columns.codes, x);
    return out;
}

std::vector<Linear::Part> equal_parts(const std::vector<std::string>& names, int64_t out) {
    const auto count = static_cast<int64_t>(names.size());
    TNL_CHECK(count >= 1 && out % count == 0, "{} outputs in {} equal parts", out, count);
    std::vector<Linear::Part> parts;
    for (const std::string& name : names) parts.push_back({name, out / count});
    return parts;
}

} // namespace

Linear::Linear(ParamTable& table, const std::vector<std::string>& names, int64_t in, int64_t out,
               bool bias, Width width)
    : Linear(table, equal_parts(names, out), in, bias, width) {}

Linear::Linear(ParamTable& table, const std::vector<Part>& parts, int64_t in, bool bias,
               Width width)
    : width_(width), parts_(parts) {
    int64_t out = 0;
    for (const Part& part : parts) {
        const bool first = out == 0;
        const Weight w = add_weight(table, part.name + ".weight", {part.out, in}, Init::normal,
                                    !first, table.layers());
        out += part.out;
        if (first) weight_ = w;
    }
    weight_.rows = out;
    if (!bias) return;
    for (size_t i = 0; i < parts.size(); ++i) {
        const Weight b =
            add_weight(table, parts[i].name + ".bias", {parts[i].out}, Init::zeros, i > 0);
        if (i == 0) bias_ = {b.offset, 0, out};
    }
}

void Linear::add_adapters(ParamTable& table, const LoraOptions& options) {
    frozen_ = true;
    rank_ = options.rank;
    scale_ = options.scale();
    std::vector<const Part*> named;
    int64_t begin = 0;
    for (const Part& part : parts_) {
        if (options.applies_to(part.name)) {
            const Weight a = add_weight(table, part.name + ".lora_A.weight", {rank_, in()},
                                        Init::narrow, !named.empty());
            a_ = {named.empty() ? a.offset : a_.offset, a_.rows + rank_, in()};
            low_.push_back({{}, begin});
            named.push_back(&part);
        }
        begin += part.out;
    }
    for (size_t i = 0; i < named.size(); ++i)
        low_[i].b = add_weight(table, named[i]->name + ".lora_B.weight", {named[i]->out, rank_},
                               Init::zeros);
}

Tensor Linear::low_rows(Run& run, const Tensor& weights, const Tensor& x) const {
    const Tensor h = run.scratch.tensor(run.dtype, {x.shape[0], a_.rows}, "lora.h");
    run.kernels.gemm(run.stream, h, x, a_.in(weights), false, true, scale_, 0);
    return h;
}

Linear::Gradient Linear::gradient(Run& run, const Tensor& weights, Tensor dy) const {
    Gradient out{dy, {}, {}, {}};
    if (narrow(run)) {
        const Narrowed both = narrowed(run, dy, Fp8Format::e5m2, true, !frozen_);
        out.rows = both.rows;
        out.columns = both.columns;
    }
    if (low_.empty()) return out;
    out.low = run.scratch.tensor(run.dtype, {dy.shape[0], a_.rows}, "lora.dh");
    for (size_t i = 0; i < low_.size(); ++i) {
        const auto& [b, begin] = low_[i];
        run.kernels.gemm(run.stream, low_part(out.low, i), dy.slice(1, begin, begin + b.rows),
                         b.in(weights), false, false, scale_, 0);
    }
    return out;
}

Fp8Matrix Linear::keep(Arena& arena, const Run& run, int64_t rows) const {
    if (!narrow(run) || frozen_) return {};
    return {arena.tensor(DType::u8, {in(), rows}, "fp8.kept"),
            arena.tensor(DType::f32, {1}, "fp8.kept_scale"), Fp8Format::e4m3};
}

void Linear::forward(Run& run, const Tensor& weights, Tensor y, Tensor x, bool accumulate,
                     const Fp8Matrix& kept) const {
    const float beta = accumulate ? 1 : 0;
    const Tensor w = weight_.quantized() ? Tensor{} : weight_.in(weights);
    if (weight_.quantized()) {
        quantized_product(run, y, x, weight_.quantized_in(weights), accumulate);
    } else if (narrow(run)) {
        const auto scope = run.scratch.scope();
        Narrowed x8, w8 = narrowed(run, w, Fp8Format::e4m3, true, false);
        if (kept.codes.rank) {
            x8.rows = {run.scratch.tensor(DType::u8, {x.shape[0], in()}, "fp8.rows"), kept.scale,
                       kept.format};
            run.kernels.fp8_quantize(run.stream, x8.rows, kept.codes, x);
        } else {
            x8 = narrowed(run, x, Fp8Format::e4m3, true, false);
        }
        run.kernels.fp8_gemm(run.stream, y, x8.rows, w8.rows, beta, true);
    } else {
        run.kernels.gemm(run.stream, y, x, w, false, true, 1, beta);
    }
    if (!low_.empty()) {
        const auto scope = run.scratch.scope();
        const Tensor h = low_rows(run, weights, x);
        for (size_t i = 0; i < low_.size(); ++i) {
            const auto& [b, begin] = low_[i];
            run.kernels.gemm(run.stream, y.slice(1, begin, begin + b.rows), low_part(h, i),
                             b.in(weights), false, true, 1, 1);
        }
    }
    if (bias_) run.kernels.bias_forward(run.stream, y, bias_.in(weights));
}

void Linear::few_rows(Run& run, const Tensor& weights, FewRows call) const {
    call.b = weight_.in(weights);
    run.kernels.few_rows(run.stream, call);
}

void Linear::backward_input(Run& run, const Tensor& weights, Tensor dx, const Gradient& dy,
                            bool accumulate) const {
    const float beta = accumulate ? 1 : 0;
    const Tensor w = weight_.in(weights);
    if (narrow(run)) {
        const auto scope = run.scratch.scope();
        run.kernels.fp8_gemm(run.stream, dx, dy.rows,
                             narrowed(run, w, Fp8Format::e4m3, false, true).columns, beta, false);
    } else {
        run.kernels.gemm(run.stream, dx, dy.dy, w, false, false, 1, beta);
    }
    if (!low_.empty()) run.kernels.gemm(run.stream, dx, dy.low, a_.in(weights), false, false, 1, 1);
}

void Linear::backward_weights(Run& run, const Tensor& weights, const Gradients& grads,
                              const Gradient& dy, Tensor x, const Fp8Matrix& kept) const {
    if (!low_.empty()) {
        const auto scope = run.scratch.scope();
        const Tensor h = low_rows(run, weights, x);
        run.kernels.gemm(run.stream, a_.in(grads), dy.low, x, true, false, 1, 1);
        for (size_t i = 0; i < low_.size(); ++i) {
            const auto& [b, begin] = low_[i];
            run.kernels.gemm(run.stream, b.in(grads), dy.dy.slice(1, begin, begin + b.rows),
                             low_part(h, i), true, false, 1, 1);
        }
    }
    if (frozen_) return;
    const Tensor dw = weight_.in(grads);
    if (narrow(run)) {
        const auto scope = run.scratch.scope();
        const Fp8Matrix columns =
            kept.codes.rank ? kept : narrowed(run, x, Fp8Format::e4m3, false, true).columns;
        run.kernels.fp8_gemm(run.stream, dw, dy.columns, columns, 1, false);
    } else {
        run.kernels.gemm(run.stream, dw, dy.dy, x, true, false, 1, 1);
    }
    if (bias_) run.kernels.bias_backward(run.stream, bias_.in(grads), dy.dy);
}

Norm::Norm(ParamTable& table, const std::string& name, int64_t width, const ModelConfig& config)
    : kind_(config.norm_kind()), eps_(config.eps()) {
    if (kind_ == NormKind::srms) return;
    weight_ = add_weight(table, name + ".weight", {width}, Init::ones);
    if (kind_ == NormKind::layer) bias_ = add_weight(table, name + ".bias", {width}, Init::zeros);
}

NormWeights Norm::in(const Tensor& flat) const { return {weight_.in(flat), bias_.in(flat)}; }
NormWeights Norm::in(const Gradients& grads) const { return {weight_.in(grads), bias_.in(grads)}; }

FewRows Norm::few_rows(Tensor x) const {
    TNL_CHECK(kind_ == NormKind::srms, "a norm with weights in front of a product of a few rows");
    FewRows call;
    call.a = x;
    call.before = FewRows::Before::srms;
    call.eps = eps_;
    return call;
}

void Norm::forward(Run& run, const Tensor& weights, Tensor y, Tensor stats, Tensor x) const {
    run.kernels.norm_forward(run.stream, y, stats, x, kind_, in(weights), eps_);
}

void Norm::backward(Run& run, const Tensor& weights, const Gradients& grads, Tensor dx, Tensor dy,
                    const Kept& kept, bool accumulate) const {
    run.kernels.norm_backward(run.stream, dx, in(grads), dy, kept.rows, kept.stats, kind_,
                              in(weights), keeps_output(), accumulate);
}

void Norm::backward_of_input(Run& run, const Tensor& weights, const Gradients& grads, Tensor dx,
                             Tensor dy, Tensor x, Tensor stats) const {
    run.kernels.norm_backward(run.stream, dx, in(grads), dy, x, stats, kind_, in(weights), false,
                              false);
}

void Norm::gated_forward(Run& run, const Tensor& weights, Tensor y, Tensor stats, Tensor x,
                         Tensor g, Activation act) const {
    if (kind_ == NormKind::srms)
        return run.kernels.srms_gate_forward(run.stream, y, stats, x, g, eps_, act);
    forward(run, weights, y, stats, x);
    run.kernels.gate_forward(run.stream, y, y, g, act);
}

void Norm::gated_backward(Run& run, const Tensor& weights, const Gradients& grads, Tensor dx,
                          Tensor dg, Tensor dy, Tensor x, Tensor g, Tensor stats,
                          Activation act) const {
    if (kind_ == NormKind::srms)
        return run.kernels.srms_gate_backward(run.stream, dx, dg, dy, dy, x, g, stats, act);
    const auto scope = run.scratch.scope();
    const Tensor normed = run.scratch.like(x, "norm.again");
    forward(run, weights, normed, {}, x);
    run.kernels.gate_backward(run.stream, dx, dg, dy, dy, normed, g, act);
    backward_of_input(run, weights, grads, dx, dx, x, stats);
}

} // namespace tnl
