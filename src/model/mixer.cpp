#include "model/mixer.h"

namespace tnl {
namespace {

// [N,H,D] -> [B,T,H,D]
Tensor by_sequence(const Tensor& x, const Batch& batch) {
    const int64_t B = batch.cu_seqlens.rank ? 1 : batch.sequences;
    return x.split_first(B, x.shape[0] / B);
}

size_t workspace_bytes(const Run& run, const Tensor& q, const Tensor& v, const Batch& batch,
                       bool backward) {
    const LightningShape shape{q.shape[0], q.shape[1],      q.shape[2], q.shape[3],
                               v.shape[3], batch.sequences, run.dtype};
    return run.kernels.lightning_workspace(shape, backward);
}

Tensor take_workspace(Run& run, size_t bytes) {
    if (bytes == 0) return {};
    return run.scratch.tensor(DType::u8, {static_cast<int64_t>(bytes)}, "lightning.workspace");
}

} // namespace

Mixer::Mixer(ParamTable& table, const std::string& name, const ModelConfig& config, int64_t layer)
    : layer_(layer), heads_(config.decoder_attention_heads), head_dim_(config.head_dim()),
      hidden_(config.hidden_dim), key_dim_(config.key_dim(layer)), qk_act_(config.qk_activation()),
      v_act_(config.value_activation()), gate_act_(config.gate_activation()),
      fused_act_(config.low_rank_gate() && qk_act_ == v_act_), has_gate_(config.output_gate),
      low_rank_(has_gate_ && config.low_rank_gate()) {
    const int64_t C = config.decoder_embed_dim;
    const bool full_gate = has_gate_ && !low_rank_;
    proj_ = Linear(table, {name + (full_gate ? ".qkvu_proj" : ".qkv_proj")}, C,
                   (full_gate ? 4 : 3) * hidden_, config.bias);
    if (low_rank_) {
        gate_in_ = Linear(table, {name + ".output_gate.0"}, C, config.gate_dim, config.bias,
                          Linear::Width::dtype);
        gate_out_ = Linear(table, {name + ".output_gate.1"}, config.gate_dim, hidden_, config.bias,
                           Linear::Width::dtype);
    }
    if (config.uses_lrpe(layer)) {
        theta_ = add_weight(table, name + ".lrpe.theta", {heads_, 1, head_dim_}, Init::lrpe_theta);
        theta_ = {theta_.offset, heads_, head_dim_};
    }
    norm_ = Norm(table, name + ".norm", hidden_, config);
    out_ = Linear(table, {name + ".out_proj"}, hidden_, C, config.bias);
}

void Mixer::add_adapters(ParamTable& table, const LoraOptions& options) {
    proj_.add_adapters(table, options);
    if (low_rank_) {
        gate_in_.add_adapters(table, options);
        gate_out_.add_adapters(table, options);
    }
    out_.add_adapters(table, options);
}

Mixer::Saved Mixer::save(Arena& arena, const Run& run, int64_t rows) const {
    const DType dtype = run.dtype;
    Saved s;
    s.proj = arena.tensor(dtype, {rows, proj_.out()}, "mixer.qkvu");
    s.o = arena.tensor(dtype, {rows, hidden_}, "mixer.o");
    s.o_stats = arena.tensor(run.acc(), {rows, 2}, "mixer.stats");
    if (low_rank_) {
        s.rank = arena.tensor(dtype, {rows, gate_in_.out()}, "mixer.gate_rank");
        s.gate = arena.tensor(dtype, {rows, hidden_}, "mixer.gate");
    }
    s.x8 = proj_.keep(arena, run, rows);
    s.gated8 = out_.keep(arena, run, rows);
    return s;
}

Tensor Mixer::part(const Tensor& proj, int64_t index) const {
    return proj.slice(1, index * hidden_, (index + 1) * hidden_);
}

Tensor Mixer::heads(const Tensor& rows) const { return rows.split_last(heads_, head_dim_); }

Mixer::Qkv Mixer::activate(Run& run, const Tensor& weights, const Tensor& proj,
                           const Batch& batch) const {
    const int64_t N = proj.shape[0];
    auto activated = [&](int64_t index, Activation act, const char* name) {
        const Tensor x = heads(part(proj, index));
        if (act == Activation::identity) return x;
        const Tensor y = run.scratch.tensor(run.dtype, {N, heads_, head_dim_}, name);
        run.kernels.act_forward(run.stream, y, x, act);
        return y;
    };
    Qkv out;
    if (fused_act_ && qk_act_ != Activation::identity) {
        const Tensor all = run.scratch.tensor(run.dtype, {N, 3 * hidden_}, "mixer.qkv");
        run.kernels.act_forward(run.stream, all, proj.slice(1, 0, 3 * hidden_), qk_act_);
        out.qa = heads(part(all, 0));
        out.ka = heads(part(all, 1));
        out.va = heads(part(all, 2));
    } else {
        out.qa = activated(0, qk_act_, "mixer.q");
        out.ka = activated(1, qk_act_, "mixer.k");
        out.va = activated(2, v_act_, "mixer.v");
    }
    place(run, weights, out, batch);
    return out;
}

void Mixer::place(Run& run, const Tensor& weights, Qkv& out, const Batch& batch) const {
    const int64_t N = out.qa.shape[0];
    out.q = out.qa;
    out.k = out.ka;
    out.v = out.va;
    if (theta_) {
        out.q = run.scratch.tensor(run.dtype, {N, heads_, key_dim_}, "mixer.q_lrpe");
        out.k = run.scratch.tensor(run.dtype, {N, heads_, key_dim_}, "mixer.k_lrpe");
        const Tensor theta = theta_.in(weights);
        run.kernels.lrpe_forward(run.stream, out.q, out.qa, theta, batch.positions);
        run.kernels.lrpe_forward(run.stream, out.k, out.ka, theta, batch.positions);
    }
    if (batch.value_mask.rank) {
        out.v = run.scratch.tensor(run.dtype, {N, heads_, head_dim_}, "mixer.v_masked");
        run.kernels.cast(run.stream, out.v, out.va);
        run.kernels.mask_rows(run.stream, out.v, batch.value_mask);
    }
}

void Mixer::attend(Run& run, Tensor o, const Qkv& qkv, const Batch& batch,
                   const LayerPassing& states) const {
    LightningForward call;
    call.q = by_sequence(qkv.q, batch);
    call.k = by_sequence(qkv.k, batch);
    call.v = by_sequence(qkv.v, batch);
    call.o = by_sequence(heads(o), batch);
    call.slopes = run.slopes.slice(0, layer_, layer_ + 1).reshape({heads_});
    call.state_in = states.in;
    call.state_out = states.out;
    call.cu_seqlens = batch.cu_seqlens;
    call.slots = batch.slots;
    call.state_settled = true; // the projection comes before
    call.workspace = take_workspace(run, workspace_bytes(run, call.q, call.v, batch, false));
    run.kernels.lightning_forward(run.stream, call);
}

Tensor Mixer::gate(const Saved& saved) const {
    return low_rank_ ? saved.gate : part(saved.proj, 3);
}

void Mixer::forward(Run& run, const Tensor& weights, Tensor y, Tensor x, const Batch& batch,
                    const LayerPassing& states, Saved* saved) const {
    const auto scope = run.scratch.scope();
    const int64_t N = x.shape[0];
    Saved own;
    if (!saved) own = save(run.scratch, run, N);
    Saved& s = saved ? *saved : own;
    proj_.forward(run, weights, s.proj, x, false, s.x8);
    if (low_rank_) {
        gate_in_.forward(run, weights, s.rank, x);
        gate_out_.forward(run, weights, s.gate, s.rank);
    }
    {
        const auto inner = run.scratch.scope();
        attend(run, s.o, activate(run, weights, s.proj, batch), batch, states);
    }
    const Tensor gated = run.scratch.tensor(run.dtype, {N, hidden_}, "mixer.gated");
    if (has_gate_)
        norm_.gated_forward(run, weights, gated, s.o_stats, s.o, gate(s), gate_act_);
    else
        norm_.forward(run, weights, gated, s.o_stats, s.o);
    out_.forward(run, weights, y, gated, true, s.gated8);
}

bool Mixer::steps(const Run& run, int64_t rows) const {
    const bool one_act = v_act_ == qk_act_ || v_act_ == Activation::identity;
    return has_gate_ && !low_rank_ && norm_.keeps_output() && one_act &&
           qk_act_ != Activation::exp && gate_act_ != Activation::exp &&
           proj_.few_rows_pays(run, rows) && out_.few_rows_pays(run, rows);
}

bool Mixer::describe(const Run& run, const Tensor& weights, DecodeStep& step,
                     StepLayer& layer) const {
    if (!has_gate_ || low_rank_ || !norm_.keeps_output() || qk_act_ == Activation::exp ||
        v_act_ == Activation::exp || gate_act_ == Activation::exp)
        return false;
    layer.qkvu = proj_.alone(run, weights);
    layer.out = out_.alone(run, weights);
    if (theta_) layer.theta = theta_.in(weights);
    step.qk_act = qk_act_;
    step.v_act = v_act_;
    step.gate_act = gate_act_;
    return !layer.qkvu.absent() && !layer.out.absent();
}

void Mixer::step(Run& run, const Tensor& weights, Tensor x, const Norm& norm, const Batch& batch,
                 const LayerPassing& states) const {
    const auto scope = run.scratch.scope();
    const int64_t N = x.shape[0];
    FewRows in = norm.few_rows(x);
    in.c = run.scratch.tensor(run.dtype, {N, proj_.out()}, "mixer.qkvu");
    in.after = FewRows::After::activation;
    in.act = qk_act_;
    in.acted = (v_act_ == qk_act_ ? 3 : 2) * hidden_;
    proj_.few_rows(run, weights, in);
    const Tensor o = run.scratch.tensor(run.dtype, {N, hidden_}, "mixer.o");
    {
        const auto inner = run.scratch.scope();
        Qkv qkv;
        qkv.qa = heads(part(in.c, 0));
        qkv.ka = heads(part(in.c, 1));
        qkv.va = heads(part(in.c, 2));
        place(run, weights, qkv, batch);
        attend(run, o, qkv, batch, states);
    }
    FewRows out = norm_.few_rows(o);
    out.c = x;
    out.before = FewRows::Before::srms_gate;
    out.g = part(in.c, 3);
    out.gate_act = gate_act_;
    out.beta = 1;
    out_.few_rows(run, weights, out);
}

void Mixer::backward(Run& run, const Tensor& weights, const Gradients& grads, Tensor dx, Tensor dy,
                     Tensor x, const Batch& batch, const LayerPassing& states,
                     const Saved& s) const {
    const auto scope = run.scratch.scope();
    const int64_t N = x.shape[0];
    const Tensor dproj = run.scratch.tensor(run.dtype, {N, proj_.out()}, "mixer.dqkvu");
    const Tensor dgate =
        low_rank_ ? run.scratch.tensor(run.dtype, {N, hidden_}, "mixer.dgate") : Tensor{};
    const Tensor dout = run.scratch.tensor(run.dtype, {N, hidden_}, "mixer.do");
    {
        // y = (norm(o) * gate(u)) Wo^T: the product is made again, where its gradient lay, rather
        // than kept.
        const auto inner = run.scratch.scope();
        const Tensor dgated = run.scratch.tensor(run.dtype, {N, hidden_}, "mixer.dgated");
        const Tensor gated = dgated;
        const Linear::Gradient dsum = out_.gradient(run, weights, dy);
        out_.backward_input(run, weights, dgated, dsum);
        if (has_gate_) {
            const Tensor du = low_rank_ ? dgate : part(dproj, 3);
            norm_.gated_backward(run, weights, grads, dout, du, dgated, s.o, gate(s), s.o_stats,
                                 gate_act_);
        } else {
            norm_.backward_of_input(run, weights, grads, dout, dgated, s.o, s.o_stats);
            norm_.forward(run, weights, gated, {}, s.o);
        }
        out_.backward_weights(run, weights, grads, dsum, gated, s.gated8);
    }
    {
        const auto inner = run.scratch.scope();
        const Qkv qkv = activate(run, weights, s.proj, batch);
        LightningBackward call;
        call.q = by_sequence(qkv.q, batch);
        call.k = by_sequence(qkv.k, batch);
        call.v = by_sequence(qkv.v, batch);
        call.dout = by_sequence(heads(dout), batch);
        call.slopes = run.slopes.slice(0, layer_, layer_ + 1).reshape({heads_});
        call.state_in = states.in;
        call.dstate_out = states.dout;
        call.dstate_in = states.din;
        call.cu_seqlens = batch.cu_seqlens;
        call.slots = batch.slots;
        // Straight into the projection's gradient, unless LRPE comes between.
        Tensor dq = heads(part(dproj, 0)), dk = heads(part(dproj, 1));
        if (theta_) {
            dq = run.scratch.tensor(run.dtype, {N, heads_, key_dim_}, "mixer.dq_lrpe");
            dk = run.scratch.tensor(run.dtype, {N, heads_, key_dim_}, "mixer.dk_lrpe");
        }
        call.dq = by_sequence(dq, batch);
        call.dk = by_sequence(dk, batch);
        call.dv = by_sequence(heads(part(dproj, 2)), batch);
        call.workspace = take_workspace(run, workspace_bytes(run, call.q, call.v, batch, true));
        run.kernels.lightning_backward(run.stream, call);
        qkv_backward(run, weights, grads, dproj, dq, dk, qkv, s, batch);
    }
    const Linear::Gradient dqkvu = proj_.gradient(run, weights, dproj);
    proj_.backward_weights(run, weights, grads, dqkvu, x, s.x8);
    proj_.backward_input(run, weights, dx, dqkvu);
    if (low_rank_) {
        const Tensor rank = run.scratch.like(s.rank, "mixer.dgate_rank");
        const Linear::Gradient du = gate_out_.gradient(run, weights, dgate);
        gate_out_.backward_weights(run, weights, grads, du, s.rank);
        gate_out_.backward_input(run, weights, rank, du);
        const Linear::Gradient drank = gate_in_.gradient(run, weights, rank);
        gate_in_.backward_weights(run, weights, grads, drank, x);
        gate_in_.backward_input(run, weights, dx, drank, true);
    }
}

void Mixer::qkv_backward(Run& run, const Tensor& weights, const Gradients& grads,
                         const Tensor& dproj, Tensor dq, Tensor dk, const Qkv& qkv, const Saved& s,
                         const Batch& batch) const {
    if (batch.value_mask.rank) run.kernels.mask_rows(run.stream, part(dproj, 2), batch.value_mask);
    if (theta_) {
        const Tensor theta = theta_.in(weights), dtheta = theta_.in(grads);
        run.kernels.lrpe_backward(run.stream, heads(part(dproj, 0)), dtheta, dq, qkv.qa, theta,
                                  batch.positions);
        run.kernels.lrpe_backward(run.stream, heads(part(dproj, 1)), dtheta, dk, qkv.ka, theta,
                                  batch.positions);
    }
    if (fused_act_) {
        const Tensor d = dproj.slice(1, 0, 3 * hidden_);
        run.kernels.act_backward(run.stream, d, d, s.proj.slice(1, 0, 3 * hidden_), qk_act_);
        return;
    }
    auto through = [&](int64_t index, Activation act) {
        const Tensor d = heads(part(dproj, index));
        if (act != Activation::identity)
            run.kernels.act_backward(run.stream, d, d, heads(part(s.proj, index)), act);
    };
    through(0, qk_act_);
    through(1, qk_act_);
    through(2, v_act_);
}

} // namespace tnl
