#include "model/block.h"

namespace tnl {

Block::Block(ParamTable& table, const std::string& name, const ModelConfig& config, int64_t layer)
    : token_norm_(table, name + ".token_norm", config.decoder_embed_dim, config),
      mixer_(table, name + ".token_mixer", config, layer),
      channel_norm_(table, name + ".channel_norm", config.decoder_embed_dim, config),
      sglu_(table, name + ".channel_mixer", config), width_(config.decoder_embed_dim) {}

void Block::add_adapters(ParamTable& table, const LoraOptions& options) {
    mixer_.add_adapters(table, options);
    sglu_.add_adapters(table, options);
}

Block::Saved Block::save(Arena& arena, const Run& run, int64_t rows) const {
    Saved s;
    for (Norm::Kept* kept : {&s.token, &s.channel}) {
        kept->rows = arena.tensor(run.dtype, {rows, width_}, "block.norm");
        kept->stats = arena.tensor(run.acc(), {rows, 2}, "block.stats");
    }
    s.mixer = mixer_.save(arena, run, rows);
    s.sglu = sglu_.save(arena, run, rows);
    return s;
}

Tensor Block::normed(Run& run, const Tensor& weights, const Norm& norm, Tensor y, Tensor x,
                     const Norm::Kept* kept) const {
    if (kept && norm.keeps_output()) y = kept->rows;
    if (kept && !norm.keeps_output()) run.kernels.cast(run.stream, kept->rows, x);
    norm.forward(run, weights, y, kept ? kept->stats : Tensor{}, x);
    return y;
}

Tensor Block::again(Run& run, const Tensor& weights, const Norm& norm, Tensor y,
                    const Norm::Kept& kept) const {
    if (norm.keeps_output()) return kept.rows;
    norm.forward(run, weights, y, {}, kept.rows);
    return y;
}

void Block::forward(Run& run, const Tensor& weights, Tensor x, const Batch& batch,
                    const LayerPassing& states, Saved* saved) const {
    const auto scope = run.scratch.scope();
    const Tensor y = run.scratch.tensor(run.dtype, {x.shape[0], width_}, "block.normed");
    mixer_.forward(run, weights, x,
                   normed(run, weights, token_norm_, y, x, saved ? &saved->token : nullptr), batch,
                   states, saved ? &saved->mixer : nullptr);
    sglu_.forward(run, weights, x,
                  normed(run, weights, channel_norm_, y, x, saved ? &saved->channel : nullptr),
                  saved ? &saved->sglu : nullptr);
}

void Block::recompute(Run& run, const Tensor& weights, Tensor input, const Batch& batch,
                      const LayerPassing& states, Saved& saved) const {
    const auto scope = run.scratch.scope();
    const Tensor y = run.scratch.tensor(run.dtype, {input.shape[0], width_}, "block.normed");
    const Tensor x = run.scratch.tensor(run.dtype, {input.shape[0], width_}, "block.x");
    run.kernels.cast(run.stream, x, input);
    mixer_.forward(run, weights, x, normed(run, weights, token_norm_, y, x, &saved.token), batch,
                   {states.in, {}, {}, {}}, &saved.mixer);
    sglu_.project(run, weights, normed(run, weights, channel_norm_, y, x, &saved.channel),
                  saved.sglu);
}

void Block::backward(Run& run, const Tensor& weights, const Gradients& grads, Tensor d,
                     const Batch& batch, const LayerPassing& states, const Saved& s) const {
    const auto scope = run.scratch.scope();
    const Tensor y = run.scratch.tensor(run.dtype, {d.shape[0], width_}, "block.normed");
    const Tensor dy = run.scratch.tensor(run.dtype, {d.shape[0], width_}, "block.dnormed");
    sglu_.backward(run, weights, grads, dy, d, again(run, weights, channel_norm_, y, s.channel),
                   s.sglu);
    channel_norm_.backward(run, weights, grads, d, dy, s.channel, true);
    mixer_.backward(run, weights, grads, dy, d, again(run, weights, token_norm_, y, s.token), batch,
                    states, s.mixer);
    token_norm_.backward(run, weights, grads, d, dy, s.token, true);
}

} // namespace tnl
