#include "model/softmax_mixer.h"

#include <cmath>

namespace tnl {
namespace {

int64_t rows_of_batch(const Batch& batch) { return batch.cu_seqlens.rank ? 1 : batch.sequences; }

// [N,H D] -> [B,T,H,D]
Tensor by_sequence(const Tensor& x, int64_t heads, int64_t width, const Batch& batch) {
    const int64_t B = rows_of_batch(batch);
    return x.split_last(heads, width).split_first(B, x.shape[0] / B);
}

void check_call(const Batch& batch, const LayerPassing& states) {
    TNL_CHECK(!states.in.rank && !states.out.rank && !states.dout.rank && !states.din.rank,
              "a state is passed to a model of model_type llama, which has none");
    TNL_CHECK(!batch.value_mask.rank,
              "a batch has masked tokens, which a model of model_type llama does not take: wanted "
              "cu_seqlens without them");
}

} // namespace

SoftmaxMixer::SoftmaxMixer(ParamTable& table, const std::string& name, const ModelConfig& config)
    : heads_(config.decoder_attention_heads), kv_heads_(config.key_value_heads()),
      head_dim_(config.head_dim()), base_(config.rope_theta),
      scale_(static_cast<float>(1 / std::sqrt(static_cast<double>(config.head_dim())))),
      qkv_(table,
           {{name + ".q_proj", heads_ * head_dim_},
            {name + ".k_proj", kv_heads_ * head_dim_},
            {name + ".v_proj", kv_heads_ * head_dim_}},
           config.decoder_embed_dim, false),
      out_(table, {name + ".o_proj"}, heads_ * head_dim_, config.decoder_embed_dim, false) {}

void SoftmaxMixer::add_adapters(ParamTable& table, const LoraOptions& options) {
    qkv_.add_adapters(table, options);
    out_.add_adapters(table, options);
}

SoftmaxMixer::Saved SoftmaxMixer::save(Arena& arena, const Run& run, int64_t rows) const {
    Saved s;
    s.qkv = arena.tensor(run.dtype, {rows, qkv_.out()}, "attention.qkv");
    s.o = arena.tensor(run.dtype, {rows, heads_ * head_dim_}, "attention.o");
    s.lse = arena.tensor(run.acc(), {rows, heads_}, "attention.lse");
    s.x8 = qkv_.keep(arena, run, rows);
    s.o8 = out_.keep(arena, run, rows);
    return s;
}

Tensor SoftmaxMixer::queries(const Tensor& qkv, const Batch& batch) const {
    return by_sequence(qkv.slice(1, 0, heads_ * head_dim_), heads_, head_dim_, batch);
}
Tensor SoftmaxMixer::keys(const Tensor& qkv, const Batch& batch) const {
    const int64_t begin = heads_ * head_dim_, width = kv_heads_ * head_dim_;
    return by_sequence(qkv.slice(1, begin, begin + width), kv_heads_, head_dim_, batch);
}
Tensor SoftmaxMixer::values(const Tensor& qkv, const Batch& batch) const {
    const int64_t begin = (heads_ + kv_heads_) * head_dim_, width = kv_heads_ * head_dim_;
    return by_sequence(qkv.slice(1, begin, begin + width), kv_heads_, head_dim_, batch);
}
Tensor SoftmaxMixer::turned(const Tensor& qkv) const {
    const int64_t both = heads_ + kv_heads_;
    return qkv.slice(1, 0, both * head_dim_).split_last(both, head_dim_);
}

Tensor SoftmaxMixer::workspace(Run& run, const Batch& batch, bool backward) const {
    const int64_t B = rows_of_batch(batch);
    const SoftmaxShape shape{B,         batch.rows() / B, heads_,   kv_heads_,
                             head_dim_, batch.sequences,  run.dtype};
    const size_t bytes = run.kernels.softmax_workspace(shape, backward);
    if (bytes == 0) return {};
    return run.scratch.tensor(DType::u8, {static_cast<int64_t>(bytes)}, "attention.workspace");
}

void SoftmaxMixer::forward(Run& run, const Tensor& weights, Tensor y, Tensor x, const Batch& batch,
                           const LayerPassing& states, Saved* saved) const {
    check_call(batch, states);
    const auto scope = run.scratch.scope();
    const int64_t N = x.shape[0], B = rows_of_batch(batch);
    const Saved s = saved ? *saved : save(run.scratch, run, N);
    qkv_.forward(run, weights, s.qkv, x, false, s.x8);
    run.kernels.rope(run.stream, turned(s.qkv), turned(s.qkv), batch.positions, base_, false);
    {
        const auto inner = run.scratch.scope();
        SoftmaxForward call;
        call.q = queries(s.qkv, batch);
        call.k = keys(s.qkv, batch);
        call.v = values(s.qkv, batch);
        call.o = by_sequence(s.o, heads_, head_dim_, batch);
        call.lse = s.lse.reshape({B, N / B, heads_});
        call.cu_seqlens = batch.cu_seqlens;
        call.scale = scale_;
        call.workspace = workspace(run, batch, false);
        run.kernels.softmax_forward(run.stream, call);
    }
    out_.forward(run, weights, y, s.o, true, s.o8);
}

void SoftmaxMixer::backward(Run& run, const Tensor& weights, const Gradients& grads, Tensor dx,
                            Tensor dy, Tensor x, const Batch& batch, const LayerPassing& states,
                            const Saved& s) const {
    check_call(batch, states);
    const auto scope = run.scratch.scope();
    const int64_t N = x.shape[0], B = rows_of_batch(batch);
    const Tensor dqkv = run.scratch.tensor(run.dtype, {N, qkv_.out()}, "attention.dqkv");
    {
        const auto inner = run.scratch.scope();
        const Tensor dout = run.scratch.like(s.o, "attention.do");
        {
            const auto products = run.scratch.scope();
            const Linear::Gradient d = out_.gradient(run, weights, dy);
            out_.backward_input(run, weights, dout, d);
            out_.backward_weights(run, weights, grads, d, s.o, s.o8);
        }
        SoftmaxBackward call;
        call.q = queries(s.qkv, batch);
        call.k = keys(s.qkv, batch);
        call.v = values(s.qkv, batch);
        call.o = by_sequence(s.o, heads_, head_dim_, batch);
        call.lse = s.lse.reshape({B, N / B, heads_});
        call.dout = by_sequence(dout, heads_, head_dim_, batch);
        call.dq = queries(dqkv, batch);
        call.dk = keys(dqkv, batch);
        call.dv = values(dqkv, batch);
        call.cu_seqlens = batch.cu_seqlens;
        call.scale = scale_;
        call.workspace = workspace(run, batch, true);
        run.kernels.softmax_backward(run.stream, call);
    }
    run.kernels.rope(run.stream, turned(dqkv), turned(dqkv), batch.positions, base_, true);
    const Linear::Gradient d = qkv_.gradient(run, weights, dqkv);
    qkv_.backward_weights(run, weights, grads, d, x, s.x8);
    qkv_.backward_input(run, weights, dx, d);
}

} // namespace tnl
