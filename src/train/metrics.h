// What a run records of itself: metrics.jsonl, one object a line, and TensorBoard event files.
#pragma once

#include "base/json.h"
#include "train/tensorboard.h"

#include <filesystem>
#include <memory>

namespace tnl {

class Metrics {
  public:
    // Appends to directory/metrics.jsonl. Lines of steps after `resume_step`, which the run will
    // write again, and a line that a killed process left unfinished are dropped first, atomically.
    Metrics(const std::filesystem::path& directory, int64_t resume_step, bool tensorboard);
    ~Metrics();
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;

    // line: an object whose "step" is the number of steps done; other numbers go to TensorBoard
    // under "<group>/<key>". NaN and infinity are written as null.
    void write(const Json& line, const char* group);
    void sync(); // what was written is on disk

  private:
    std::filesystem::path path_;
    int descriptor_ = -1;
    std::unique_ptr<EventWriter> events_;
};

} // namespace tnl
