#include "model/sglu.h"

namespace tnl {

Sglu::Sglu(ParamTable& table, const std::array<std::string, 3>& names, const ModelConfig& config)
    : width_(config.glu_width()), act_(config.glu_activation()),
      in_(table, {names[0], names[1]}, config.decoder_embed_dim, 2 * width_, config.bias),
      out_(table, {names[2]}, width_, config.decoder_embed_dim, config.bias) {}

void Sglu::add_adapters(ParamTable& table, const LoraOptions& options) {
    in_.add_adapters(table, options);
    out_.add_adapters(table, options);
}

Sglu::Saved Sglu::save(Arena& arena, const Run& run, int64_t rows) const {
    return {arena.tensor(run.dtype, {rows, 2 * width_}, "sglu.uv"), in_.keep(arena, run, rows),
            out_.keep(arena, run, rows)};
}

void Sglu::forward(Run& run, const Tensor& weights, Tensor y, Tensor x, Saved* saved) const {
    const auto scope = run.scratch.scope();
    const int64_t rows = x.shape[0];
    const Saved s = saved ? *saved : save(run.scratch, run, rows);
    const Tensor h = run.scratch.tensor(run.dtype, {rows, width_}, "sglu.h");
    in_.forward(run, weights, s.uv, x, false, s.x8);
    run.kernels.gate_forward(run.stream, h, s.uv.slice(1, width_, 2 * width_),
                             s.uv.slice(1, 0, width_), act_);
    out_.forward(run, weights, y, h, true, s.h8);
}

bool Sglu::steps(const Run& run, int64_t rows) const {
    return act_ != Activation::exp && in_.few_rows_pays(run, rows) && out_.few_rows_pays(run, rows);
}

void Sglu::step(Run& run, const Tensor& weights, Tensor x, const Norm& norm) const {
    const auto scope = run.scratch.scope();
    FewRows in = norm.few_rows(x);
    in.c = run.scratch.tensor(run.dtype, {x.shape[0], width_}, "sglu.h");
    in.after = FewRows::After::gate;
    in.act = act_;
    in_.few_rows(run, weights, in);
    FewRows out;
    out.c = x;
    out.a = in.c;
    out.beta = 1;
    out_.few_rows(run, weights, out);
}

bool Sglu::describe(const Run& run, const Tensor& weights, DecodeStep& step,
                    StepLayer& layer) const {
    if (act_ == Activation::exp) return false;
    layer.uv = in_.alone(run, weights);
    layer.down = out_.alone(run, weights);
    step.glu_act = act_;
    return !layer.uv.absent() && !layer.down.absent();
}

void Sglu::project(Run& run, const Tensor& weights, Tensor x, Saved& saved) const {
    in_.forward(run, weights, saved.uv, x, false, saved.x8);
    saved.h8 = {};
}

void Sglu::backward(Run& run, const Tensor& weights, const Gradients& grads, Tensor dx, Tensor dy,
                    Tensor x, const Saved& saved) const {
    const auto scope = run.scratch.scope();
    const int64_t rows = x.shape[0];
    const auto u = [&](const Tensor& uv) { return uv.slice(1, 0, width_); };
    const auto v = [&](const Tensor& uv) { return uv.slice(1, width_, 2 * width_); };
    const Tensor dh = run.scratch.tensor(run.dtype, {rows, width_}, "sglu.dh");
    const Tensor duv = run.scratch.tensor(run.dtype, {rows, 2 * width_}, "sglu.duv");
    {
        const auto inner = run.scratch.scope();
        const Linear::Gradient dsum = out_.gradient(run, weights, dy);
        out_.backward_input(run, weights, dh, dsum);
        // h = act(u) * v is made again where dh lay, unless it was kept.
        const Tensor h = saved.h8.codes.rank ? Tensor{} : dh;
        run.kernels.gate_backward(run.stream, v(duv), u(duv), h, dh, v(saved.uv), u(saved.uv),
                                  act_);
        out_.backward_weights(run, weights, grads, dsum, h, saved.h8);
    }
    const Linear::Gradient d = in_.gradient(run, weights, duv);
    in_.backward_weights(run, weights, grads, d, x, saved.x8);
    in_.backward_input(run, weights, dx, d);
}

} // namespace tnl
