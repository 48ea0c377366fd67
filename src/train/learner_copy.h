// What a checkpoint keeps of a learner, as it was at one moment.
#pragma once

#include "train/learner.h"

#include <memory>

namespace tnl {

// All of it, where it lies: in the learner, or in a copy.
struct LearnerView {
    LearnerView() = default;
    LearnerView(const Learner& learner);

    const Model* model = nullptr;
    Device* device = nullptr;
    Tensor weights;         // [flat_size], the run's dtype
    Tensor master;          // [trained_size] f32; in an f32 run those of `weights`, else maybe none
    Tensor m, v;            // [trained_size] f32
    States carried;         // Learner::carried
    int64_t updates = 0;    // Optimizer::updates
    Tensor trained() const; // [trained_size]: the master weights, or those of `weights`
};

// A copy in the host's memory, made again and again in the same place: training goes on while it is
// written to disk.
class LearnerCopy {
  public:
    static size_t bytes(const Learner& learner);
    // Takes the memory.
    explicit LearnerCopy(const Learner& learner);

    // As the learner is now; returns when it is copied.
    void take(const Learner& learner);
    const LearnerView& view() const { return view_; } // of the last take()

  private:
    Tensor place(const Tensor& like, Device& device);
    std::unique_ptr<Device> host_;
    std::vector<OwnedTensor> owned_;
    LearnerView view_;
};

} // namespace tnl
