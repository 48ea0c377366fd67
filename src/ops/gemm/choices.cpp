#include "base/check.h"
#include "base/file.h"
#include "ops/gemm/algorithms.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>

namespace tnl {
namespace {

// Held by the process that searches. Its death releases it; one that is stopped is not waited for
// for ever.
class SearchLock {
  public:
    explicit SearchLock(const std::filesystem::path& path)
        : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
        TNL_CHECK(descriptor_ >= 0, "{}: cannot create: {}", path.string(), std::strerror(errno));
        for (int wait = 0; ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0; ++wait) {
            const int code = errno;
            if ((code == EWOULDBLOCK || code == EINTR) && wait < kWaits) {
                std::this_thread::sleep_for(std::chrono::milliseconds(10));
                continue;
            }
            ::close(descriptor_);
            fail("{}: cannot lock: {}", path.string(), std::strerror(code));
        }
    }
    ~SearchLock() { ::close(descriptor_); }
    SearchLock(const SearchLock&) = delete;
    SearchLock& operator=(const SearchLock&) = delete;

  private:
    static constexpr int kWaits = 6000; // a minute
    int descriptor_;
};

std::filesystem::path beside(const std::filesystem::path& file) {
    std::filesystem::path lock = file;
    return lock += ".lock";
}

} // namespace

GemmChoices::GemmChoices(std::filesystem::path file, std::string environment)
    : file_(std::move(file)), environment_(std::move(environment)) {
    if (!file_.empty()) read();
}

std::optional<GemmAlgorithm> GemmChoices::find(const GemmKey& key, const Usable& usable,
                                               const Search& search) {
    const std::lock_guard lock(mutex_);
    const auto known = answers_.find(key);
    if (known != answers_.end()) return known->second;
    std::optional<GemmAlgorithm> found = look_up(key, usable);
    if (!found && search) {
        std::unique_ptr<SearchLock> alone;
        if (!file_.empty()) {
            try {
                std::filesystem::create_directories(file_.parent_path());
                alone = std::make_unique<SearchLock>(beside(file_));
                read();
                found = look_up(key, usable);
            } catch (const std::exception& error) {
                warn(error.what());
                file_.clear();
            }
        }
        if (!found) {
            found = search();
            if (found) filed_[key] = *found;
            if (found && alone) write();
        }
    }
    answers_.emplace(key, found);
    return found;
}

std::optional<GemmAlgorithm> GemmChoices::look_up(const GemmKey& key, const Usable& usable) {
    const auto entry = filed_.find(key);
    if (entry == filed_.end()) return std::nullopt;
    if (usable(entry->second)) return entry->second;
    warn(fmt::format("{}: holds an algorithm that the library refuses", file_.string()));
    filed_.erase(entry);
    return std::nullopt;
}

void GemmChoices::read() {
    std::error_code none;
    if (!std::filesystem::exists(file_, none)) return;
    try {
        filed_ = parse_algorithms(read_file(file_), environment_, file_.string());
    } catch (const std::exception& error) {
        warn(error.what());
    }
}

void GemmChoices::write() {
    try {
        write_file_atomic(file_, format_algorithms(filed_, environment_));
    } catch (const std::exception& error) {
        warn(error.what());
        file_.clear();
    }
}

void GemmChoices::warn(const std::string& what) {
    if (!std::exchange(warned_, true))
        fmt::print(stderr, "warning: algorithms of matrix products: {}\n", what);
}

} // namespace tnl
