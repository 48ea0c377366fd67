// The states between the pieces of sequences that are longer than a micro-batch's rows
// (train.pieces, train.through), all memory taken at once.
//
// Where sequences end with documents (data.reset) there are two slots a row, as TokenRows::slots
// says: [0, rows) for what passes on, [rows, 2 rows) zero between calls. settle() and aim() move a
// state from the one to the other where a document began within a piece.
#pragma once

#include "data/loader.h"
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
    // Once a piece has written `after`, its states: those that pass on come to their rows' slots,
    // and all others become zero.
    void settle(const States& after, const TokenRows& piece);
    // Before the backward of a piece: `gradient`, of the states that the piece after it began with,
    // becomes that of the states which the piece leaves.
    void aim(const States& gradient, const TokenRows& piece);
    // exact: states before piece i > 0 of a sequence, and the gradients on either side of a piece.
    const States& before(int64_t piece) const {
        return boundaries_[static_cast<size_t>(piece - 1)];
    }
    const States& gradient(int64_t piece) const {
        return gradients_[static_cast<size_t>(piece % 2)];
    }

  private:
    // Slot `to` of every layer becomes slot `from`, which becomes zero; without `to`, only that.
    void move(const States& states, int64_t from, int64_t to);
    Device& device_;
    Arena arena_;
    States states_[2];
    size_t current_ = 0;
    std::vector<States> boundaries_, gradients_;
};

} // namespace tnl
