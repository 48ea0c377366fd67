#include "train/pieces.h"

namespace tnl {
namespace {

int64_t state_count(const LoopConfig& train) {
    if (train.pieces == 1) return 0;
    return train.through == Through::truncated ? 2 : train.pieces - 1 + 2;
}

} // namespace

size_t PieceStates::bytes(const TrainConfig& config, const Model& model) {
    const auto count = static_cast<size_t>(state_count(config.train));
    return count > 0 ? count * measure_states(model, DType::f32, config.train.rows) : 0;
}

PieceStates::PieceStates(const TrainConfig& config, const Model& model, Device& device)
    : arena_("states", device, bytes(config, model)) {
    const LoopConfig& train = config.train;
    if (train.pieces == 1) return;
    const auto make = [&] { return model.make_states(arena_, DType::f32, train.rows); };
    if (train.through == Through::truncated) {
        for (States& s : states_) s = make();
        return;
    }
    for (int64_t i = 1; i < train.pieces; ++i) boundaries_.push_back(make());
    for (int i = 0; i < 2; ++i) gradients_.push_back(make());
}

} // namespace tnl
