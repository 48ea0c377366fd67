#include "train/step_reader.h"

namespace tnl {

StepReader::StepReader(BatchSource& source, int64_t rows, int64_t micro_batches)
    : source_(source), rows_(rows) {
    now_.batches.resize(static_cast<size_t>(micro_batches));
    ahead_.batches.resize(static_cast<size_t>(micro_batches));
}

void StepReader::read(Step& step) {
    for (TokenRows& batch : step.batches) source_.next(rows_, batch);
    step.state = source_.state();
}

void StepReader::seek(const LoaderState& state) {
    reading_ = false;
    try {
        background_.wait();
    } catch (const std::exception&) { // of what nobody wants any more
    }
    source_.seek(state);
}

std::span<const TokenRows> StepReader::next(bool more) {
    if (reading_) {
        reading_ = false;
        background_.wait();
        std::swap(now_, ahead_);
    } else {
        read(now_);
    }
    if (more) {
        background_.start([this] { read(ahead_); });
        reading_ = true;
    }
    return now_.batches;
}

} // namespace tnl
