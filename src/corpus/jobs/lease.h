// A claim on a piece of work, as a file that only one process can make: on a directory that all of
// them see, tasks on many machines share work without talking to one another.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

namespace tnl::corpus {

struct LeaseOptions {
    std::chrono::milliseconds heartbeat{10'000};
    // A lease whose last heartbeat is older is that of a process which was killed: another may take
    // it. By the file system's clock.
    std::chrono::milliseconds stale{60'000};
};

// Holds leases for one process; a thread of it keeps their heartbeat.
class Leases {
  public:
    // `directory` is made.
    Leases(std::filesystem::path directory, LeaseOptions options = {});
    ~Leases(); // gives back what is held
    Leases(const Leases&) = delete;
    Leases& operator=(const Leases&) = delete;

    // False: another process (or thread) has it.
    bool take(const std::string& name);
    void give_back(const std::string& name);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace tnl::corpus
