#include "train/checkpoint_writer.h"

#include "base/memory.h"

namespace tnl {

void CheckpointWriter::write(const TrainerState& state, const LearnerView& view) {
    try {
        store_.save(state, config_, view, tokenizer_, base_);
    } catch (const std::exception& e) {
        fail("the checkpoint of step {} could not be saved: {}", state.step, e.what());
    }
}

void CheckpointWriter::save(const TrainerState& state) {
    wait();
    if (!copy_ && LearnerCopy::bytes(learner_) <= available_memory() / 2) copy_.emplace(learner_);
    if (!copy_) return write(state, learner_);
    copy_->take(learner_);
    background_.start([this, state] { write(state, copy_->view()); });
}

void CheckpointWriter::check() {
    if (!background_.busy()) background_.wait();
}

void CheckpointWriter::wait() { background_.wait(); }

} // namespace tnl
