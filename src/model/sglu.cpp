#include "model/sglu.h"

namespace tnl {

Sglu::Sglu(ParamTable& table, const std::string& name, const ModelConfig& config)
    : width_(config.glu_width()), act_(config.glu_activation()),
      in_(table, {name + ".l1", name + ".l2"}, config.decoder_embed_dim, 2 * width_, config.bias),
      out_(table, {name + ".l3"}, width_, config.decoder_embed_dim, config.bias) {}

Sglu::Saved Sglu::save(Arena& arena, DType dtype, int64_t rows) const {
    return {arena.tensor(dtype, {rows, 2 * width_}, "sglu.uv")};
}

void Sglu::forward(Run& run, const Tensor& weights, Tensor y, Tensor x, Saved* saved) const {
    const auto scope = run.scratch.scope();
    const int64_t rows = x.shape[0];
    const Tensor uv = saved ? saved->uv : save(run.scratch, run.dtype, rows).uv;
    const Tensor h = run.scratch.tensor(run.dtype, {rows, width_}, "sglu.h");
    in_.forward(run, weights, uv, x);
    run.kernels.gate_forward(run.stream, h, uv.slice(1, width_, 2 * width_), uv.slice(1, 0, width_),
                             act_);
    out_.forward(run, weights, y, h);
}

void Sglu::project(Run& run, const Tensor& weights, Tensor x, Saved& saved) const {
    in_.forward(run, weights, saved.uv, x);
}

void Sglu::backward(Run& run, const Tensor& weights, const Tensor& grads, Tensor dx, Tensor dy,
                    Tensor x, const Saved& saved) const {
    const auto scope = run.scratch.scope();
    const int64_t rows = x.shape[0];
    const Tensor u = saved.uv.slice(1, 0, width_), v = saved.uv.slice(1, width_, 2 * width_);
    const Tensor h = run.scratch.tensor(run.dtype, {rows, width_}, "sglu.h");
    const Tensor dh = run.scratch.tensor(run.dtype, {rows, width_}, "sglu.dh");
    const Tensor duv = run.scratch.tensor(run.dtype, {rows, 2 * width_}, "sglu.duv");
    run.kernels.gate_forward(run.stream, h, v, u, act_);
    out_.backward(run, weights, grads, dh, dy, h);
    run.kernels.gate_backward(run.stream, duv.slice(1, width_, 2 * width_), duv.slice(1, 0, width_),
                              dh, v, u, act_);
    in_.backward(run, weights, grads, dx, duv, x);
}

} // namespace tnl
