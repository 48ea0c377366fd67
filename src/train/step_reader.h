// The micro-batches of one step after another. Those of the next step are read while a step is at
// work, so that it does not wait for the disk.
#pragma once

#include "base/background.h"
#include "train/batch_source.h"

#include <span>
#include <vector>

namespace tnl {

class StepReader {
  public:
    // source must outlive this, and is not used by others after the first next().
    StepReader(BatchSource& source, int64_t rows, int64_t micro_batches);

    // Those of the next step, until the call after; throws what the source threw at them. `more`:
    // another step comes after it.
    std::span<const TokenRows> next(bool more);
    // next() gives from here on; what was read ahead is dropped.
    void seek(const LoaderState& state);
    // Of the source after what next() gave last.
    const LoaderState& state() const { return now_.state; }

  private:
    struct Step {
        std::vector<TokenRows> batches;
        LoaderState state;
    };
    void read(Step& step);
    BatchSource& source_;
    int64_t rows_;
    Step now_, ahead_;
    bool reading_ = false;
    Background background_; // last: it ends before what it uses
};

} // namespace tnl
