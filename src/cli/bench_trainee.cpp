#include "cli/bench_trainee.h"

namespace tnl {
namespace {

TrainConfig config_of(const TraineeOptions& o) {
    TrainConfig c;
    c.preset = o.preset;
    c.model = model_preset(o.preset);
    c.optimizer = o.optimizer;
    c.train.steps = 1;
    c.train.rows = o.batch;
    c.train.length = o.length;
    c.train.dtype = o.dtype;
    c.train.products = o.products;
    c.train.recompute = o.recompute;
    c.train.head_chunk = o.head_chunk;
    c.data.reset = false;
    if (o.carry) c.train.pieces = 2; // or more: what counts is that the state passes on
    c.validate();
    return c;
}

// Token i of the stream is (i * 7919 + 13) % V, as in the PyTorch peers (bench/).
TokenRows made_up(const TrainConfig& c) {
    TokenRows out;
    const auto token = [&](int64_t i) {
        return static_cast<int32_t>((i * 7919 + 13) % c.model.vocab_size);
    };
    for (int64_t i = 0; i < c.micro_tokens(); ++i) {
        out.ids.push_back(token(i));
        out.targets.push_back(token(i + 1));
        out.positions.push_back(static_cast<int32_t>(i % c.train.length));
        if (i % c.train.length == 0) out.cu_seqlens.push_back(static_cast<int32_t>(i));
    }
    out.counted = c.micro_tokens();
    out.cu_seqlens.push_back(static_cast<int32_t>(out.counted));
    return out;
}

} // namespace

Trainee::Trainee(Device& device, const TraineeOptions& o)
    : device_(device), config_(config_of(o)), model_(config_.model),
      learner_(config_, model_, device), batch_(made_up(config_)), carry_(o.carry) {
    const Tensor master = learner_.optimizer().master();
    fill_random(model_, device, learner_.weights());
    if (master.data && master.data != learner_.weights().data) fill_random(model_, device, master);
}

double Trainee::step() {
    const Learner::Step step = learner_.gradients({&batch_, 1});
    learner_.update(1e-4, step.norm);
    device_.synchronize();
    if (carry_) batch_.piece = 1; // the next one goes on where this one ended
    return step.loss;
}

double Trainee::forward() { return learner_.loss_sum(batch_); }

} // namespace tnl
