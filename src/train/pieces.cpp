#include "train/pieces.h"

namespace tnl {
namespace {

int64_t state_count(const LoopConfig& train) {
    if (train.pieces == 1) return 0;
    return train.through == Through::truncated ? 2 : train.pieces - 1 + 2;
}

int64_t slots_of(const TrainConfig& config) {
    return config.data.reset ? 2 * config.train.rows : config.train.rows;
}

} // namespace

size_t PieceStates::bytes(const TrainConfig& config, const Model& model) {
    const auto count = static_cast<size_t>(state_count(config.train));
    return count > 0 ? count * measure_states(model, DType::f32, slots_of(config)) : 0;
}

PieceStates::PieceStates(const TrainConfig& config, const Model& model, Device& device)
    : device_(device), arena_("states", device, bytes(config, model)) {
    const LoopConfig& train = config.train;
    if (train.pieces == 1) return;
    const auto make = [&] {
        const States out = model.make_states(arena_, DType::f32, slots_of(config));
        for (const Tensor& layer : out.layers)
            device.zero(layer.data, static_cast<size_t>(layer.bytes()));
        return out;
    };
    if (train.through == Through::truncated) {
        for (States& s : states_) s = make();
        return;
    }
    for (int64_t i = 1; i < train.pieces; ++i) boundaries_.push_back(make());
    for (int i = 0; i < 2; ++i) gradients_.push_back(make());
}

void PieceStates::move(const States& states, int64_t from, int64_t to) {
    for (const Tensor& layer : states.layers) {
        const Tensor source = layer.slice(0, from, from + 1);
        const auto bytes = static_cast<size_t>(source.bytes());
        if (to >= 0) device_.copy(layer.slice(0, to, to + 1).data, source.data, bytes);
        device_.zero(source.data, bytes);
    }
}

void PieceStates::settle(const States& after, const TokenRows& piece) {
    const auto rows = static_cast<int64_t>(piece.ends.size());
    for (int64_t r = 0; r < rows; ++r) {
        const TokenRows::End end = piece.ends[static_cast<size_t>(r)];
        if (end == TokenRows::End::moves) move(after, rows + r, r);
        if (end == TokenRows::End::stops) move(after, r, -1);
    }
}

void PieceStates::aim(const States& gradient, const TokenRows& piece) {
    const auto rows = static_cast<int64_t>(piece.ends.size());
    for (int64_t r = 0; r < rows; ++r) {
        const TokenRows::End end = piece.ends[static_cast<size_t>(r)];
        if (end == TokenRows::End::moves) move(gradient, r, rows + r);
        if (end == TokenRows::End::stops) move(gradient, r, -1);
    }
}

} // namespace tnl
