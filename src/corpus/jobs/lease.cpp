#include "corpus/jobs/lease.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/jobs/process_name.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

std::optional<int64_t> modified(const fs::path& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return std::nullopt;
    return int64_t{info.st_mtim.tv_sec} * 1000 + info.st_mtim.tv_nsec / 1'000'000;
}

// Makes the file; false if it is there.
bool create(const fs::path& path, const std::string& content) {
    const int fd = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EEXIST) return false;
    if (fd < 0) fail("{}: cannot create: {}", path.string(), std::strerror(errno));
    const ssize_t written = ::write(fd, content.data(), content.size());
    ::close(fd);
    if (written != static_cast<ssize_t>(content.size())) fail("{}: cannot write", path.string());
    return true;
}

} // namespace

struct Leases::Impl {
    fs::path directory;
    LeaseOptions options;
    std::string owner = process_name();
    std::mutex mutex;
    std::condition_variable stop;
    bool stopping = false;
    std::set<std::string> held;
    std::thread thread;

    fs::path path(const std::string& name) const { return directory / (name + ".lease"); }
    // Now, by the clock that stamps files in this directory.
    int64_t now() const {
        const fs::path clock = directory / ("." + owner + ".clock");
        const int fd = ::open(clock.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0) fail("{}: cannot create: {}", clock.string(), std::strerror(errno));
        ::futimens(fd, nullptr);
        ::close(fd);
        const auto time = modified(clock);
        if (!time) fail("{}: cannot stat", clock.string());
        return *time;
    }
    void beat() {
        std::unique_lock lock(mutex);
        while (!stop.wait_for(lock, options.heartbeat, [&] { return stopping; }))
            for (const std::string& name : held)
                ::utimensat(AT_FDCWD, path(name).c_str(), nullptr, 0);
    }
    // The process that has the lease; empty where it was killed while it wrote that.
    std::string owner_of(const std::string& name) const {
        std::ifstream file(path(name));
        std::string who;
        return std::getline(file, who) && !file.eof() ? who : "";
    }
    // One that was stale to others is theirs now.
    void remove_own(const std::string& name) const {
        if (owner_of(name) == owner) ::unlink(path(name).c_str());
    }
    // Removes the lease of a process that is gone. Of several that try, one succeeds: the file is
    // moved to a name of its own first.
    void remove_stale(const std::string& name) const {
        const auto time = modified(path(name));
        if (!time || (!is_gone(owner_of(name)) && now() - *time < options.stale.count())) return;
        const fs::path aside = directory / fmt::format(".{}.{}.stale", name, owner);
        if (::rename(path(name).c_str(), aside.c_str()) != 0) return;
        // What was moved may be a lease that another has taken since: then it goes back.
        if (modified(aside) != time && ::link(aside.c_str(), path(name).c_str()) != 0 &&
            errno != EEXIST)
            fail("{}: cannot be given back: {}", path(name).string(), std::strerror(errno));
        ::unlink(aside.c_str());
    }
    // What processes of this machine left that were killed when their work was done.
    void clean() const {
        std::error_code ignored;
        std::vector<std::string> leases;
        for (const auto& entry : fs::directory_iterator(directory, ignored)) {
            const std::string name = entry.path().filename().string();
            if (name.ends_with(".lease"))
                leases.push_back(entry.path().stem().string());
            else if (name.ends_with(".clock") && is_gone(name.substr(1, name.size() - 7)))
                ::unlink(entry.path().c_str());
        }
        for (const std::string& name : leases)
            if (is_gone(owner_of(name))) remove_stale(name);
    }
};

Leases::Leases(fs::path directory, LeaseOptions options) : impl_(std::make_unique<Impl>()) {
    impl_->directory = std::move(directory);
    impl_->options = options;
    fs::create_directories(impl_->directory);
    impl_->clean();
    impl_->thread = std::thread([this] { impl_->beat(); });
}

Leases::~Leases() {
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->stopping = true;
    }
    impl_->stop.notify_all();
    impl_->thread.join();
    for (const std::string& name : impl_->held) impl_->remove_own(name);
    ::unlink((impl_->directory / ("." + impl_->owner + ".clock")).c_str());
}

bool Leases::take(const std::string& name) {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->held.contains(name)) return false;
    const std::string content = impl_->owner + "\n";
    if (!create(impl_->path(name), content)) {
        impl_->remove_stale(name);
        if (!create(impl_->path(name), content)) return false;
    }
    impl_->held.insert(name);
    return true;
}

void Leases::give_back(const std::string& name) {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->held.erase(name) > 0) impl_->remove_own(name);
}

} // namespace tnl::corpus
