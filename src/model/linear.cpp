#include "model/linear.h"

namespace tnl {

Tensor Weight::in(const Tensor& flat) const {
    if (offset < 0) return {};
    void* data = flat.data ? static_cast<char*>(flat.data) + offset * size_of(flat.dtype) : nullptr;
    return rows == 0 ? Tensor(data, flat.dtype, {cols}) : Tensor(data, flat.dtype, {rows, cols});
}

Weight add_weight(ParamTable& table, const std::string& name, std::vector<int64_t> shape, Init init,
                  bool adjacent) {
    const int64_t cols = shape.back();
    const int64_t rows = shape.size() == 1 ? 0 : shape.front();
    const int index = table.add(name, std::move(shape), init, adjacent);
    return {table[index].offset, rows, cols};
}

Linear::Linear(ParamTable& table, const std::vector<std::string>& names, int64_t in, int64_t out,
               bool bias) {
    const auto parts = static_cast<int64_t>(names.size());
    TNL_CHECK(parts >= 1 && out % parts == 0, "{} outputs in {} equal parts", out, parts);
    for (size_t i = 0; i < names.size(); ++i) {
        const Weight w =
            add_weight(table, names[i] + ".weight", {out / parts, in}, Init::normal, i > 0);
        if (i == 0) weight_ = {w.offset, out, in};
    }
    if (!bias) return;
    for (size_t i = 0; i < names.size(); ++i) {
        const Weight b = add_weight(table, names[i] + ".bias", {out / parts}, Init::zeros, i > 0);
        if (i == 0) bias_ = {b.offset, 0, out};
    }
}

void Linear::forward(Run& run, const Tensor& weights, Tensor y, Tensor x) const {
    run.kernels.gemm(run.stream, y, x, weight_.in(weights), false, true, 1, 0);
    if (bias_) run.kernels.bias_forward(run.stream, y, bias_.in(weights));
}

void Linear::backward(Run& run, const Tensor& weights, const Tensor& grads, Tensor dx, Tensor dy,
                      Tensor x, bool accumulate) const {
    run.kernels.gemm(run.stream, weight_.in(grads), dy, x, true, false, 1, 1);
    if (bias_) run.kernels.bias_backward(run.stream, bias_.in(grads), dy);
    if (dx.rank == 0) return;
    run.kernels.gemm(run.stream, dx, dy, weight_.in(weights), false, false, 1, accumulate ? 1 : 0);
}

Norm::Norm(ParamTable& table, const std::string& name, int64_t width, const ModelConfig& config)
    : kind_(config.norm_kind()), eps_(config.eps()) {
    if (kind_ == NormKind::srms) return;
    weight_ = add_weight(table, name + ".weight", {width}, Init::ones);
    if (kind_ == NormKind::layer) bias_ = add_weight(table, name + ".bias", {width}, Init::zeros);
}

NormWeights Norm::in(const Tensor& flat) const { return {weight_.in(flat), bias_.in(flat)}; }

void Norm::forward(Run& run, const Tensor& weights, Tensor h, Tensor y, Tensor stats, Tensor x,
                   Tensor delta) const {
    run.kernels.norm_forward(run.stream, h, y, stats, x, delta, kind_, in(weights), eps_);
}

void Norm::backward(Run& run, const Tensor& weights, const Tensor& grads, Tensor dx, Tensor dy,
                    Tensor x, Tensor stats, bool accumulate) const {
    run.kernels.norm_backward(run.stream, dx, in(grads), dy, x, stats, kind_, in(weights),
                              accumulate);
}

} // namespace tnl
