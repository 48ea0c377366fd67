#include "model/block.h"

namespace tnl {

Block::Block(ParamTable& table, const std::string& name, const ModelConfig& config, int64_t layer)
    : token_norm_(table, name + ".token_norm", config.decoder_embed_dim, config),
      mixer_(table, name + ".token_mixer", config, layer),
      channel_norm_(table, name + ".channel_norm", config.decoder_embed_dim, config),
      sglu_(table, name + ".channel_mixer", config), width_(config.decoder_embed_dim) {}

Block::Saved Block::save(Arena& arena, DType dtype, DType acc, int64_t rows) const {
    Saved s;
    s.h1 = arena.tensor(dtype, {rows, width_}, "block.h1");
    s.h1_stats = arena.tensor(acc, {rows, 2}, "block.stats");
    s.h2 = arena.tensor(dtype, {rows, width_}, "block.h2");
    s.h2_stats = arena.tensor(acc, {rows, 2}, "block.stats");
    s.mixer = mixer_.save(arena, dtype, acc, rows);
    s.sglu = sglu_.save(arena, dtype, rows);
    return s;
}

void Block::forward(Run& run, const Tensor& weights, Tensor& x, Tensor delta, bool first,
                    const Batch& batch, Tensor state_in, Tensor state_out, Saved* saved,
                    Tensor keep_h1) const {
    const auto scope = run.scratch.scope();
    const Tensor y = run.scratch.tensor(run.dtype, {x.shape[0], width_}, "block.normed");
    const Tensor h1 = saved ? saved->h1 : keep_h1.rank ? keep_h1 : x;
    token_norm_.forward(run, weights, h1, y, saved ? saved->h1_stats : Tensor{}, x,
                        first ? Tensor{} : delta);
    mixer_.forward(run, weights, delta, y, batch, state_in, state_out,
                   saved ? &saved->mixer : nullptr);
    const Tensor h2 = saved ? saved->h2 : x;
    channel_norm_.forward(run, weights, h2, y, saved ? saved->h2_stats : Tensor{}, h1, delta);
    sglu_.forward(run, weights, delta, y, saved ? &saved->sglu : nullptr);
    x = h2;
}

void Block::recompute(Run& run, const Tensor& weights, Tensor h1, const Batch& batch,
                      Tensor state_in, Saved& saved) const {
    const auto scope = run.scratch.scope();
    const Tensor y = run.scratch.tensor(run.dtype, {h1.shape[0], width_}, "block.normed");
    const Tensor delta = run.scratch.tensor(run.dtype, {h1.shape[0], width_}, "block.delta");
    saved.h1 = h1;
    token_norm_.forward(run, weights, {}, y, saved.h1_stats, h1, {});
    mixer_.forward(run, weights, delta, y, batch, state_in, {}, &saved.mixer);
    channel_norm_.forward(run, weights, saved.h2, y, saved.h2_stats, h1, delta);
    sglu_.project(run, weights, y, saved.sglu);
}

void Block::backward(Run& run, const Tensor& weights, const Tensor& grads, Tensor d,
                     const Batch& batch, Tensor state_in, const Saved& s) const {
    const auto scope = run.scratch.scope();
    const Tensor y = run.scratch.tensor(run.dtype, {d.shape[0], width_}, "block.normed");
    const Tensor dy = run.scratch.tensor(run.dtype, {d.shape[0], width_}, "block.dnormed");
    channel_norm_.forward(run, weights, {}, y, {}, s.h2, {});
    sglu_.backward(run, weights, grads, dy, d, y, s.sglu);
    channel_norm_.backward(run, weights, grads, d, dy, s.h2, s.h2_stats, true);
    token_norm_.forward(run, weights, {}, y, {}, s.h1, {});
    mixer_.backward(run, weights, grads, dy, d, y, batch, state_in, s.mixer);
    token_norm_.backward(run, weights, grads, d, dy, s.h1, s.h1_stats, true);
}

} // namespace tnl
