#include "train/trainer.h"

#include "model/flops.h"
#include "train/stop_signal.h"

#include <chrono>

namespace tnl {
namespace fs = std::filesystem;
namespace {

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

} // namespace

double training_flops_per_token(const Model& model, int64_t length) {
    const ModelFlops f = model_flops(model, length);
    // Backward twice the forward; frozen weights have no gradient: a third less. Of adapters h is
    // made twice.
    return (model.params().has_adapters() ? 4 : 6) * f.weights + 7 * f.adapters + 3 * f.attention;
}

Trainer::Trainer(const TrainerParts& parts)
    : parts_(parts), config_(parts.config), schedule_(config_.lr_schedule()),
      learner_(config_, parts.model, parts.device), store_(config_.run, config_.checkpoint),
      writer_(store_, config_, learner_, parts.tokenizer, parts.base), guard_(config_.guard),
      reader_(parts.train, config_.train.rows, config_.train.accumulate),
      progress_(config_.log.every, parts.out) {
    state_.device = parts.device.name();
    state_.data = parts.train.fingerprint();
    state_.base = parts.base.checksum;
}

void Trainer::start(const float* weights) {
    learner_.set_weights(weights);
    reader_.seek({config_.train.seed, 0, 0});
}

void Trainer::resume(int64_t step, const float* weights) {
    TNL_CHECK(weights != nullptr || !parts_.model.params().has_adapters(),
              "a run that trains adapters goes on without the weights they are for");
    if (weights != nullptr) learner_.set_frozen(weights);
    const std::string device = state_.device, data = state_.data;
    const fs::path checkpoint = store_.path_of(step);
    try {
        state_ = CheckpointStore::load(checkpoint, learner_);
        TNL_CHECK(state_.step == step, "trainer.json: is of step {}", state_.step);
        guard_.restore(state_.guard);
    } catch (const std::exception& e) {
        std::string hint;
        for (const int64_t before : store_.steps())
            if (before < step)
                hint = fmt::format("; --from {} goes back to the checkpoint before", before);
        fail("cannot go on from {}: {}{}", checkpoint.string(), e.what(), hint);
    }
    if (state_.data != data)
        fail("{}: trained on other data: {}; data.train is {}", checkpoint.string(), state_.data,
             data);
    if (state_.base != parts_.base.checksum)
        fail(
            "{}: its adapters are of other weights (checksum {}) than those of init = {} (checksum "
            "{})",
            checkpoint.string(), state_.base, config_.init, parts_.base.checksum);
    reader_.seek(state_.loader);
    store_.remove_after(step); // not before the checkpoint was found to be right
    if (state_.device != device)
        progress_.print(fmt::format("The checkpoint is from another device ({}): from here on "
                                    "rounding may differ.",
                                    state_.device));
    state_.device = device;
    saved_step_ = state_.step;
}

Trainer::Outcome Trainer::run() {
    try {
        loop();
    } catch (const std::exception& e) {
        progress_.clear();
        fail("step {}: {}. {}", state_.step, e.what(), last_good());
    }
    progress_.clear();
    return state_.step == config_.train.steps ? Outcome::finished : Outcome::interrupted;
}

void Trainer::loop() {
    const StopSignal stop;
    metrics_.emplace(config_.run, state_.step, config_.log.tensorboard);
    first_step_ = logged_step_ = state_.step;
    logged_seconds_ = state_.seconds;
    const double begin = seconds_now();
    while (state_.step < config_.train.steps && !StopSignal::requested()) {
        step();
        if (parts_.profile != nullptr) profile();
        const bool last = state_.step == config_.train.steps;
        if (last || due(state_.step, config_.eval.every)) evaluate_now();
        if (last || due(state_.step, config_.checkpoint.every)) save();
        session_seconds_ = seconds_now() - begin;
    }
    if (saved_step_ != state_.step) save();
    writer_.wait();
}

// Before a step: the kernels' times count from the first one profiled to the last.
void Trainer::profile() {
    StepProfile& p = *parts_.profile;
    const int64_t done = state_.step - first_step_ - StepProfile::kWarmUp;
    if (done == 0) plain_begin_ = state_.seconds;
    if (done == StepProfile::kPlain) {
        parts_.device.synchronize();
        profile_begin_ = state_.seconds;
        learner_.use(p.kernels());
        profiling_ = true;
        p.start();
    }
    if (done != StepProfile::kPlain + p.steps()) return;
    learner_.use(kernels_for(parts_.device));
    profiling_ = false;
    const double plain = (profile_begin_ - plain_begin_) / static_cast<double>(StepProfile::kPlain);
    progress_.print(p.table(state_.seconds - profile_begin_, plain));
}

void Trainer::step() {
    const double begin = seconds_now();
    writer_.check();
    const bool more = state_.step + 1 < config_.train.steps;
    const Learner::Step step = learner_.gradients(reader_.next(more));
    ++state_.step; // the one that what follows speaks of
    const double lr = config_.optimizer.lr * schedule_.factor(state_.step - 1);
    if (step.counted > 0)
        judge_and_update(step, lr);
    else
        progress_.print(fmt::format("step {}: no token to learn; update skipped", state_.step));
    state_.tokens += config_.step_tokens();
    state_.loader = reader_.state();
    state_.seconds += seconds_now() - begin;
    state_.eval_loss.reset();
    const bool last = state_.step == config_.train.steps;
    if (last || due(state_.step, config_.log.every)) log(step, lr);
    report();
}

void Trainer::judge_and_update(const Learner::Step& step, double lr) {
    last_loss_ = step.loss;
    const Guard::Verdict verdict = guard_.judge(step.loss, step.norm);
    if (verdict.stop) fail("{}; the run stopped before its update", verdict.reason);
    if (verdict.apply)
        learner_.update(lr, step.norm);
    else
        progress_.print(fmt::format("step {}: {}; update skipped", state_.step, verdict.reason));
}

void Trainer::log(const Learner::Step& step, double lr) {
    const double tokens = static_cast<double>((state_.step - logged_step_) * config_.step_tokens());
    speed_ = tokens / std::max(1e-9, state_.seconds - logged_seconds_);
    logged_step_ = state_.step;
    logged_seconds_ = state_.seconds;
    Json line;
    line["step"] = state_.step;
    if (step.counted > 0) line["loss"] = step.loss;
    line["lr"] = lr;
    if (step.counted > 0) line["grad_norm"] = step.norm;
    line["tokens"] = state_.tokens;
    line["epoch"] = state_.loader.epoch;
    line["tokens_per_second"] = speed_;
    line["seconds"] = state_.seconds;
    if (config_.log.peak_tflops > 0)
        line["mfu"] = speed_ * training_flops_per_token(parts_.model, config_.train.length) /
                      (config_.log.peak_tflops * 1e12);
    if (guard_.skipped() > 0) line["skipped"] = guard_.skipped();
    metrics_->write(line, "train");
}

void Trainer::report() {
    const auto done = static_cast<double>(state_.step - first_step_);
    ProgressState p;
    p.step = state_.step;
    p.steps = config_.train.steps;
    p.loss = last_loss_.value_or(0);
    p.tokens_per_second = speed_ > 0 ? speed_
                                     : static_cast<double>(state_.step - logged_step_) *
                                           static_cast<double>(config_.step_tokens()) /
                                           std::max(1e-9, state_.seconds - logged_seconds_);
    p.elapsed = state_.seconds;
    // Evaluations and checkpoints take their share of what is left, too.
    p.left = std::max(session_seconds_, 1e-9) / std::max(1.0, done - 1) *
             static_cast<double>(config_.train.steps - state_.step);
    progress_.show(p);
}

void Trainer::evaluate_now() {
    if (parts_.validation == nullptr) return;
    if (profiling_) learner_.use(kernels_for(parts_.device)); // not part of a step
    const EvalResult result =
        evaluate(learner_, *parts_.validation, config_.eval.batches, config_.train.rows);
    if (profiling_) learner_.use(parts_.profile->kernels());
    if (result.tokens == 0)
        return progress_.print(
            fmt::format("step {}: the held-out data has no token to predict", state_.step));
    last_eval_ = result;
    state_.eval_loss = result.loss;
    Json line;
    line["step"] = state_.step;
    line["eval_loss"] = result.loss;
    line["perplexity"] = result.perplexity();
    if (result.bits_per_byte > 0) line["bits_per_byte"] = result.bits_per_byte;
    line["eval_tokens"] = result.tokens;
    line["tokens"] = state_.tokens;
    line["seconds"] = state_.seconds;
    metrics_->write(line, "eval");
    progress_.print(fmt::format("step {}: held-out loss {:.4f}, perplexity {:.2f}{}", state_.step,
                                result.loss, result.perplexity(),
                                result.bits_per_byte > 0
                                    ? fmt::format(", {:.4f} bits per byte", result.bits_per_byte)
                                    : ""));
}

void Trainer::save() {
    state_.guard = guard_.state();
    TrainerState next = state_;
    if (next.eval_loss && (!next.best_loss || *next.eval_loss < *next.best_loss)) {
        next.best_loss = next.eval_loss;
        next.best_step = next.step;
    }
    metrics_->sync(); // a checkpoint is never ahead of them
    writer_.save(next);
    state_ = next;
    saved_step_ = state_.step;
}

// Once what is being written is.
std::string Trainer::last_good() {
    try {
        writer_.wait();
    } catch (const std::exception& e) {
        progress_.print(e.what());
    }
    const auto path = store_.latest();
    return path ? fmt::format("The last good checkpoint is {}", path->string())
                : "There is no checkpoint yet";
}

} // namespace tnl
