#include "model/model.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace tnl {
namespace {

LayerPassing of_layer(const Passing& states, int64_t layer) {
    const auto of = [layer](const States* s) {
        return s ? s->layers[static_cast<size_t>(layer)] : Tensor{};
    };
    return {of(states.in), of(states.out), of(states.dout), of(states.din)};
}

void check_batch(const Batch& batch, const Run& run, const ModelConfig& config) {
    const int64_t N = batch.rows();
    TNL_CHECK(batch.sequences >= 1 || batch.cu_seqlens.rank, "a batch of {} sequences",
              batch.sequences);
    TNL_CHECK(batch.positions.is({N}), "positions have shape {}, wanted [{}] as ids",
              batch.positions.shape_string(), N);
    if (batch.cu_seqlens.rank)
        TNL_CHECK(batch.cu_seqlens.is({batch.sequences + 1}),
                  "cu_seqlens has shape {}, wanted [{}]", batch.cu_seqlens.shape_string(),
                  batch.sequences + 1);
    else
        TNL_CHECK(N % batch.sequences == 0, "{} tokens do not divide into {} sequences", N,
                  batch.sequences);
    TNL_CHECK(run.slopes.is({config.decoder_layers, config.decoder_attention_heads}) &&
                  run.slopes.dtype == run.acc(),
              "Run::slopes is {} {}, wanted [{}, {}] {}", name_of(run.slopes.dtype),
              run.slopes.shape_string(), config.decoder_layers, config.decoder_attention_heads,
              name_of(run.acc()));
}

// Every target must name something.
void check_targets(const ParamTable& table, const LoraOptions& lora) {
    std::set<std::string> known;
    for (const Param& p : table.base())
        if (p.shape.size() == 2 && p.name.starts_with("model.layers.")) {
            // "model.layers.0.token_mixer.out_proj.weight": what follows the unit's name
            std::string name = p.name.substr(0, p.name.rfind('.'));
            for (int dots = 0; dots < 4; ++dots) name.erase(0, name.find('.') + 1);
            known.insert(name);
        }
    for (const std::string& target : lora.targets) {
        const LoraOptions one{lora.rank, lora.alpha, {target}};
        const bool found =
            std::any_of(table.adapters().begin(), table.adapters().end(), [&](const Param& p) {
                return one.applies_to(p.name.substr(0, p.name.rfind(".lora_")));
            });
        if (!found)
            throw UsageError(fmt::format("train.lora.targets: {} is no linear layer of the model, "
                                         "wanted some of {}",
                                         target, fmt::join(known, ", ")));
    }
}

} // namespace

Model::Model(ModelConfig config, LoraOptions lora)
    : config_(std::move(config)), lora_(std::move(lora)) {
    config_.validate();
    const int64_t C = config_.decoder_embed_dim;
    params_.keep_layers_as(config_.weights.layers);
    embed_ = add_weight(params_, "model.embed_tokens.weight", {config_.vocab_size, C});
    if (config_.position_embeddings > 0)
        positions_ =
            add_weight(params_, "model.embed_positions.weight", {config_.position_embeddings, C});
    for (int64_t l = 0; l < config_.decoder_layers; ++l)
        blocks_.emplace_back(params_, fmt::format("model.layers.{}", l), config_, l);
    final_norm_ = Norm(params_, config_.is_llama() ? "model.norm" : "model.final_norm", C, config_);
    const QuantFormat head = config_.weights.head;
    head_ = config_.tie_word_embeddings && head == QuantFormat::none
                ? embed_
                : add_weight(params_, "lm_head.weight", {config_.vocab_size, C}, Init::normal,
                             false, head);
    if (config_.tie_word_embeddings && head != QuantFormat::none)
        params_.mark_copy(params_.find("lm_head.weight"));
    if (lora_.rank == 0) return;
    TNL_CHECK(lora_.rank > 0, "adapters of rank {}, wanted 1 or more", lora_.rank);
    params_.freeze();
    for (Block& block : blocks_) block.add_adapters(params_, lora_);
    check_targets(params_, lora_);
}

void Model::forward(Run& run, const Tensor& weights, Tensor h, const Batch& batch,
                    const Passing& states, Saved* saved, Arena* activations) const {
    check_batch(batch, run, config_);
    const auto scope = run.scratch.scope();
    const int64_t N = batch.rows(), C = config_.decoder_embed_dim;
    const Tensor x = run.scratch.tensor(run.dtype, {N, C}, "model.x");
    run.kernels.embed_forward(run.stream, x, embed_.in(weights), batch.ids,
                              static_cast<float>(config_.embed_scale()));
    if (positions_) {
        const auto inner = run.scratch.scope();
        const Tensor places = run.scratch.like(x, "model.positions");
        run.kernels.embed_forward(run.stream, places, positions_.in(weights), batch.positions, 1);
        run.kernels.add(run.stream, x, places);
    }
    for (int64_t l = 0; l < config_.decoder_layers; ++l) {
        Block::Saved* block_saved = nullptr;
        if (saved && saved->recompute != Recompute::block) {
            saved->blocks.push_back(blocks_[static_cast<size_t>(l)].save(
                *activations, run, N, saved->recompute == Recompute::none));
            block_saved = &saved->blocks.back();
        } else if (saved) {
            saved->inputs.push_back(activations->tensor(run.dtype, {N, C}, "block.input"));
            run.kernels.cast(run.stream, saved->inputs.back(), x);
        }
        blocks_[static_cast<size_t>(l)].forward(run, weights, x, batch, of_layer(states, l),
                                                block_saved);
    }
    if (saved) {
        saved->last.stats = activations->tensor(run.acc(), {N, 2}, "model.last_stats");
        saved->last.rows = h;
        if (!final_norm_.keeps_output()) {
            saved->last.rows = activations->tensor(run.dtype, {N, C}, "model.last");
            run.kernels.cast(run.stream, saved->last.rows, x);
        }
    }
    final_norm_.forward(run, weights, h, saved ? saved->last.stats : Tensor{}, x);
}

StepShape Model::step_shape(DType dtype) const {
    StepShape s;
    s.dtype = dtype;
    s.layers = config_.decoder_layers;
    s.C = config_.decoder_embed_dim;
    s.heads = config_.decoder_attention_heads;
    s.width = config_.head_dim();
    s.F = config_.glu_dim;
    s.V = config_.vocab_size;
    s.keys = 2 * s.width;
    s.matrices = config_.weights.layers;
    s.head = config_.weights.head;
    s.acts = {config_.qk_activation(), config_.value_activation(), config_.gate_activation(),
              Activation::identity};
    return s;
}

bool Model::decode_step(Run& run, const Tensor& weights, Tensor logits, Tensor chosen,
                        const Batch& batch, const States& states, Tensor workspace) const {
    if (batch.rows() != 1 || positions_ || !final_norm_.keeps_output()) return false;
    DecodeStep step;
    for (size_t l = 0; l < blocks_.size(); ++l) {
        if (!blocks_[l].describe(run, weights, step)) return false;
        step.layers.back().state = states.layers[l];
    }
    step.ids = batch.ids;
    step.positions = batch.positions;
    step.embed = embed_.in(weights);
    if (head_.quantized())
        step.head = head_.quantized_in(weights);
    else
        step.head = head_.in(weights);
    step.embed_scale = static_cast<float>(config_.embed_scale());
    step.slopes = run.slopes;
    step.eps = config_.eps();
    step.logits = logits;
    step.chosen = chosen;
    step.workspace = workspace;
    StepShape shape = step_shape(run.dtype);
    shape.acts = {step.qk_act, step.v_act, step.gate_act, step.glu_act};
    if (!run.kernels.decode_step_pays(run.stream, shape)) return false;
    run.kernels.decode_step(run.stream, step);
    return true;
}

void Model::logits(Run& run, const Tensor& weights, Tensor logits, Tensor h) const {
    if (head_.quantized())
        return quantized_product(run, logits, h, head_.quantized_in(weights), false);
    const Tensor head = head_.in(weights);
    if (run.kernels.few_rows_pays(h.shape[0], h.shape[1], run.dtype)) {
        FewRows call;
        call.c = logits;
        call.a = h;
        call.b = head;
        return run.kernels.few_rows(run.stream, call);
    }
    run.kernels.gemm(run.stream, logits, h, head, false, true, 1, 0);
}

void Model::head_loss(Run& run, const Tensor& weights, Tensor loss, Tensor h, const Batch& batch,
                      int64_t chunk, Tensor dh, Tensor grads, float scale) const {
    const auto scope = run.scratch.scope();
    const int64_t N = batch.rows();
    const bool gradient = dh.rank != 0;
    if (gradient) want_floats(config_.weights, "a backward pass");
    const Tensor dhead = gradient ? head_.in(Gradients{grads, params_.trained_begin()}) : Tensor{};
    chunk = std::min(chunk, N);
    const Tensor buffer = run.scratch.tensor(run.dtype, {chunk, config_.vocab_size}, "head.logits");
    for (int64_t begin = 0; begin < N; begin += chunk) {
        const int64_t end = std::min(N, begin + chunk);
        const Tensor rows = h.slice(0, begin, end), part = buffer.slice(0, 0, end - begin);
        logits(run, weights, part, rows);
        run.kernels.cross_entropy(run.stream, loss.slice(0, begin, end), part,
                                  batch.targets.slice(0, begin, end), gradient, scale);
        if (!gradient) continue;
        run.kernels.gemm(run.stream, dh.slice(0, begin, end), part, head_.in(weights), false, false,
                         1, 0);
        if (dhead.rank) run.kernels.gemm(run.stream, dhead, part, rows, true, false, 1, 1);
    }
}

void Model::backward(Run& run, const Tensor& weights, const Tensor& flat_grads, Tensor dh,
                     const Batch& batch, const Passing& states, Saved& saved) const {
    const Gradients grads{flat_grads, params_.trained_begin()};
    const auto scope = run.scratch.scope();
    const int64_t N = batch.rows();
    const Tensor d = run.scratch.like(dh, "model.d");
    final_norm_.backward(run, weights, grads, d, dh, saved.last, false);
    for (int64_t l = config_.decoder_layers - 1; l >= 0; --l) {
        const Block& block = blocks_[static_cast<size_t>(l)];
        if (saved.recompute != Recompute::block) {
            block.backward(run, weights, grads, d, batch, of_layer(states, l),
                           saved.blocks[static_cast<size_t>(l)]);
            continue;
        }
        const auto inner = run.scratch.scope();
        Block::Saved again = block.save(run.scratch, run, N, true);
        block.recompute(run, weights, saved.inputs[static_cast<size_t>(l)], batch,
                        of_layer(states, l), again);
        block.backward(run, weights, grads, d, batch, of_layer(states, l), again);
    }
    if (params_.has_adapters()) return; // the rest is frozen
    run.kernels.embed_backward(run.stream, embed_.in(grads), d, batch.ids,
                               static_cast<float>(config_.embed_scale()));
    if (positions_)
        run.kernels.embed_backward(run.stream, positions_.in(grads), d, batch.positions, 1);
}

void Model::loss_and_gradients(Run& run, const Tensor& weights, Tensor grads, Tensor loss,
                               const Batch& batch, Recompute recompute, int64_t head_chunk,
                               float scale, Arena& activations, const Passing& states) const {
    const auto scope = activations.scope();
    const int64_t N = batch.rows(), C = config_.decoder_embed_dim;
    Saved saved;
    saved.recompute = recompute;
    const Tensor h = activations.tensor(run.dtype, {N, C}, "model.h");
    const Tensor dh = activations.tensor(run.dtype, {N, C}, "model.dh");
    forward(run, weights, h, batch, states, &saved, &activations);
    head_loss(run, weights, loss, h, batch, head_chunk, dh, grads, scale);
    backward(run, weights, grads, dh, batch, states, saved);
}

void Model::loss(Run& run, const Tensor& weights, Tensor loss, const Batch& batch,
                 const Passing& states, int64_t head_chunk, Arena& activations) const {
    const auto scope = activations.scope();
    const Tensor h =
        activations.tensor(run.dtype, {batch.rows(), config_.decoder_embed_dim}, "model.h");
    forward(run, weights, h, batch, states, nullptr, nullptr);
    head_loss(run, weights, loss, h, batch, head_chunk, {}, {}, 1);
}

States Model::make_states(Arena& arena, DType acc, int64_t sequences) const {
    want_states(config_, "states of sequences");
    States states;
    for (int64_t l = 0; l < config_.decoder_layers; ++l)
        states.layers.push_back(arena.tensor(
            acc,
            {sequences, config_.decoder_attention_heads, config_.key_dim(l), config_.head_dim()},
            "state"));
    return states;
}

} // namespace tnl
