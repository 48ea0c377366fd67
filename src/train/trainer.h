// The training loop.
#pragma once

#include "train/checkpoint_writer.h"
#include "train/eval.h"
#include "train/metrics.h"
#include "train/profile.h"
#include "train/progress.h"
#include "train/step_reader.h"

#include <filesystem>
#include <optional>

namespace tnl {

struct TrainerParts {
    const TrainConfig& config; // resolved
    const Model& model;
    Device& device;
    BatchSource& train;
    BatchSource* validation = nullptr; // may be absent
    std::optional<std::filesystem::path> tokenizer;
    AdapterBase base = {};          // of adapters that are trained: what checkpoints say of it
    std::FILE* out = stdout;        // for progress
    StepProfile* profile = nullptr; // of some steps, told when done; may be absent
};

class Trainer {
  public:
    // Takes all memory. All parts must outlive the trainer.
    explicit Trainer(const TrainerParts& parts);

    // Begins the run with these weights, [flat_size] f32; or goes on from a checkpoint of it, which
    // becomes the latest: throws, naming the one before it, where it is damaged. Where adapters are
    // trained it holds those alone, and the frozen weights come from `weights`.
    void start(const float* weights);
    void resume(int64_t step, const float* weights = nullptr);

    enum class Outcome { finished, interrupted };
    // Runs to the last step, or until a stop is asked for (stop_signal.h); either way the last step
    // done is saved. Throws, naming the step and the last good checkpoint, where the guard stops
    // the run or something cannot be written.
    Outcome run();

    const TrainerState& state() const { return state_; }
    const CheckpointStore& checkpoints() const { return store_; }
    const Learner& learner() const { return learner_; }
    // Of this process; absent before the first.
    const std::optional<EvalResult>& last_eval() const { return last_eval_; }
    const std::optional<double>& last_loss() const { return last_loss_; }

  private:
    void loop();
    void step();
    void evaluate_now();
    void save();
    void log(const Learner::Step& step, double lr);
    void report();
    void judge_and_update(const Learner::Step& step, double lr);
    void profile();
    std::string last_good();

    TrainerParts parts_;
    const TrainConfig& config_;
    Schedule schedule_;
    Learner learner_;
    CheckpointStore store_;
    CheckpointWriter writer_;
    Guard guard_;
    TrainerState state_;
    StepReader reader_;
    std::optional<EvalResult> last_eval_;
    std::optional<double> last_loss_; // nats per token, of the last step
    std::optional<Metrics> metrics_;
    Progress progress_;
    int64_t first_step_ = 0, saved_step_ = -1;
    double session_seconds_ = 0, logged_seconds_ = 0, speed_ = 0;
    int64_t logged_step_ = 0;
    bool profiling_ = false;
    double profile_begin_ = 0, plain_begin_ = 0; // state_.seconds
};

// Floating point operations that one token of a sequence of `length` costs, forward and backward: 6
// for each weight that multiplies it, and the attention's. The recurrence takes 12 Dk D a head,
// whatever the length; softmax attention 12 D a head for each of the (length + 1) / 2 tokens that
// one sees on average (causal: what a full square would take beyond is not counted).
double training_flops_per_token(const Model& model, int64_t length);

} // namespace tnl
