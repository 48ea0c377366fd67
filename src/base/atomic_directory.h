// A directory that appears whole and on disk, or not at all.
#pragma once

#include <filesystem>

namespace tnl {

class AtomicDirectory {
  public:
    // Makes an empty directory beside `final`, named ".<name>.partial"; one that a killed process
    // left there is removed first. Two processes must not write the same directory at once.
    explicit AtomicDirectory(const std::filesystem::path& final);
    ~AtomicDirectory(); // removes the partial directory unless committed
    AtomicDirectory(const AtomicDirectory&) = delete;
    AtomicDirectory& operator=(const AtomicDirectory&) = delete;

    const std::filesystem::path& path() const { return partial_; } // write the files here
    // Flushes every file to disk and gives the directory its name. A directory that has the name
    // already is replaced in one step where the file system can exchange names, else moved aside as
    // ".<name>.old" for a moment.
    void commit();

  private:
    std::filesystem::path final_, partial_;
    bool committed_ = false;
};

} // namespace tnl
