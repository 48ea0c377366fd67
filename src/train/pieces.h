// The states between the pieces of sequences that are longer than a micro-batch's rows
// (train.pieces, train.through), all memory taken at once.
#pragma once

#include "model/model.h"
#include "train/config.h"

#include <vector>

namespace tnl {

class PieceStates {
  public:
    PieceStates(const TrainConfig& config, const Model& model, Device& device);
    static size_t bytes(const TrainConfig& config, const Model& model);

    // truncated: before the next piece, and after it; swap makes the latter the former. Without
    // pieces both are empty.
    const States& now() const { return states_[current_]; }
    const States& next() const { return states_[1 - current_]; }
    void swap() { current_ = 1 - current_; }
    // exact: states before piece i > 0 of a sequence, and the gradients on either side of a piece.
    const States& before(int64_t piece) const {
        return boundaries_[static_cast<size_t>(piece - 1)];
    }
    const States& gradient(int64_t piece) const {
        return gradients_[static_cast<size_t>(piece % 2)];
    }

  private:
    Arena arena_;
    States states_[2];
    size_t current_ = 0;
    std::vector<States> boundaries_, gradients_;
};

} // namespace tnl
