#include "model/block.h"

namespace tnl {

namespace {

// Names of a layer's parts in checkpoints.
struct Names {
    const char *token_norm, *mixer, *channel_norm, *glu[3];
};
constexpr Names kTransnormer{"token_norm",
                             "token_mixer",
                             "channel_norm",
                             {"channel_mixer.l1", "channel_mixer.l2", "channel_mixer.l3"}};
constexpr Names kLlama{"input_layernorm",
                       "self_attn",
                       "post_attention_layernorm",
                       {"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}};

const Names& names_of(const ModelConfig& config) {
    return config.is_llama() ? kLlama : kTransnormer;
}

std::variant<Mixer, SoftmaxMixer> mixer_of(ParamTable& table, const std::string& name,
                                           const ModelConfig& config, int64_t layer) {
    if (config.is_llama()) return SoftmaxMixer(table, name, config);
    return Mixer(table, name, config, layer);
}

// What a mixer of its type saved.
template <class M, class Saved> auto& saved_of(const M&, Saved& saved) {
    return std::get<typename M::Saved>(saved.mixer);
}

} // namespace

Block::Block(ParamTable& table, const std::string& name, const ModelConfig& config, int64_t layer)
    : token_norm_(table, name + "." + names_of(config).token_norm, config.decoder_embed_dim,
                  config),
      mixer_(mixer_of(table, name + "." + names_of(config).mixer, config, layer)),
      channel_norm_(table, name + "." + names_of(config).channel_norm, config.decoder_embed_dim,
                    config),
      sglu_(table,
            {name + "." + names_of(config).glu[0], name + "." + names_of(config).glu[1],
             name + "." + names_of(config).glu[2]},
            config),
      width_(config.decoder_embed_dim) {}

void Block::add_adapters(ParamTable& table, const LoraOptions& options) {
    std::visit([&](auto& mixer) { mixer.add_adapters(table, options); }, mixer_);
    sglu_.add_adapters(table, options);
}

Block::Saved Block::save(Arena& arena, const Run& run, int64_t rows, bool glu) const {
    Saved s;
    for (Norm::Kept* kept : {&s.token, &s.channel}) {
        kept->rows = arena.tensor(run.dtype, {rows, width_}, "block.norm");
        kept->stats = arena.tensor(run.acc(), {rows, 2}, "block.stats");
    }
    std::visit([&](const auto& mixer) { s.mixer = mixer.save(arena, run, rows); }, mixer_);
    if (glu) s.sglu = sglu_.save(arena, run, rows);
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

void Block::mix(Run& run, const Tensor& weights, Tensor x, Tensor y, const Batch& batch,
                const LayerPassing& states, Saved* saved) const {
    std::visit(
        [&](const auto& mixer) {
            mixer.forward(run, weights, x, y, batch, states,
                          saved ? &saved_of(mixer, *saved) : nullptr);
        },
        mixer_);
}

const Mixer* Block::steps(const Run& run, int64_t rows) const {
    const Mixer* mixer = std::get_if<Mixer>(&mixer_);
    const bool plain = token_norm_.keeps_output() && channel_norm_.keeps_output();
    return mixer && plain && mixer->steps(run, rows) && sglu_.steps(run, rows) ? mixer : nullptr;
}

bool Block::describe(const Run& run, const Tensor& weights, DecodeStep& step) const {
    const Mixer* mixer = std::get_if<Mixer>(&mixer_);
    StepLayer& layer = step.layers.emplace_back();
    return mixer && token_norm_.keeps_output() && channel_norm_.keeps_output() &&
           mixer->describe(run, weights, step, layer) && sglu_.describe(run, weights, step, layer);
}

void Block::forward(Run& run, const Tensor& weights, Tensor x, const Batch& batch,
                    const LayerPassing& states, Saved* saved) const {
    if (const Mixer* mixer = saved ? nullptr : steps(run, x.shape[0])) {
        mixer->step(run, weights, x, token_norm_, batch, states);
        sglu_.step(run, weights, x, channel_norm_);
        return;
    }
    const auto scope = run.scratch.scope();
    const Tensor y = run.scratch.tensor(run.dtype, {x.shape[0], width_}, "block.normed");
    mix(run, weights, x, normed(run, weights, token_norm_, y, x, saved ? &saved->token : nullptr),
        batch, states, saved);
    sglu_.forward(run, weights, x,
                  normed(run, weights, channel_norm_, y, x, saved ? &saved->channel : nullptr),
                  saved && saved->sglu.uv.rank ? &saved->sglu : nullptr);
}

void Block::recompute(Run& run, const Tensor& weights, Tensor input, const Batch& batch,
                      const LayerPassing& states, Saved& saved) const {
    const auto scope = run.scratch.scope();
    const Tensor y = run.scratch.tensor(run.dtype, {input.shape[0], width_}, "block.normed");
    const Tensor x = run.scratch.tensor(run.dtype, {input.shape[0], width_}, "block.x");
    run.kernels.cast(run.stream, x, input);
    mix(run, weights, x, normed(run, weights, token_norm_, y, x, &saved.token), batch,
        {states.in, {}, {}, {}}, &saved);
    sglu_.project(run, weights, normed(run, weights, channel_norm_, y, x, &saved.channel),
                  saved.sglu);
}

void Block::backward(Run& run, const Tensor& weights, const Gradients& grads, Tensor d,
                     const Batch& batch, const LayerPassing& states, const Saved& s) const {
    const auto scope = run.scratch.scope();
    const Tensor y = run.scratch.tensor(run.dtype, {d.shape[0], width_}, "block.normed");
    const Tensor dy = run.scratch.tensor(run.dtype, {d.shape[0], width_}, "block.dnormed");
    {
        const auto inner = run.scratch.scope();
        const Tensor x = again(run, weights, channel_norm_, y, s.channel);
        Sglu::Saved saved = s.sglu;
        if (saved.uv.rank == 0) {
            saved = sglu_.save(run.scratch, run, x.shape[0]);
            sglu_.project(run, weights, x, saved);
        }
        sglu_.backward(run, weights, grads, dy, d, x, saved);
    }
    channel_norm_.backward(run, weights, grads, d, dy, s.channel, true);
    std::visit(
        [&](const auto& mixer) {
            mixer.backward(run, weights, grads, dy, d, again(run, weights, token_norm_, y, s.token),
                           batch, states, saved_of(mixer, s));
        },
        mixer_);
    token_norm_.backward(run, weights, grads, d, dy, s.token, true);
}

} // namespace tnl
