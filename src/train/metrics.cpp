#include "train/metrics.h"

#include "base/check.h"
#include "base/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>

namespace tnl {
namespace fs = std::filesystem;
namespace {

// Rewrites the file without what a run that goes on from `step` will write again.
void truncate_to(const fs::path& path, int64_t step) {
    if (!fs::exists(path)) return;
    std::istringstream lines(read_file(path));
    std::string kept;
    for (std::string line; std::getline(lines, line);) {
        const Json json = Json::parse(line, nullptr, false);
        if (json.is_discarded() || !json.is_object()) continue; // cut off by a kill
        const auto at = json.find("step");
        if (at == json.end() || !at->is_number_integer() || at->get<int64_t>() > step) continue;
        kept += line + "\n";
    }
    write_file_atomic(path, kept);
}

} // namespace

Metrics::Metrics(const fs::path& directory, int64_t resume_step, bool tensorboard)
    : path_(directory / "metrics.jsonl") {
    truncate_to(path_, resume_step);
    descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail("{}: cannot open: {}", path_.string(), std::strerror(errno));
    if (tensorboard)
        events_ = std::make_unique<EventWriter>(directory / "tensorboard", resume_step + 1);
}

Metrics::~Metrics() { close(descriptor_); }

void Metrics::write(const Json& line, const char* group) {
    const std::string text = line.dump() + "\n";
    // One write, so that a reader never sees half a line.
    const ssize_t n = ::write(descriptor_, text.data(), text.size());
    if (n != static_cast<ssize_t>(text.size()))
        fail("{}: cannot write: {}", path_.string(), n < 0 ? std::strerror(errno) : "disk full");
    if (!events_) return;
    const auto step = line.at("step").get<int64_t>();
    for (const auto& [key, value] : line.items())
        if (key != "step" && value.is_number())
            events_->scalar(step, std::string(group) + "/" + key, value.get<double>());
}

void Metrics::sync() {
    // EINVAL: not a file that can be flushed, such as a pipe.
    if (fsync(descriptor_) != 0 && errno != EINVAL)
        fail("{}: cannot be flushed to disk: {}", path_.string(), std::strerror(errno));
}

} // namespace tnl
