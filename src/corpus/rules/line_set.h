// The lines of a file as a set: the file's bytes, and a table of where lines begin.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

class LineSet {
  public:
    LineSet() = default; // empty
    // White space around lines does not count, nor do lines that are blank or begin with #.
    explicit LineSet(const std::filesystem::path& file);
    bool contains(std::string_view line) const;
    size_t size() const { return size_; }
    size_t bytes() const { return text_.size() + slots_.size() * sizeof(uint64_t); }

  private:
    std::string_view line_at(uint64_t slot) const;
    std::string text_;
    std::vector<uint64_t> slots_; // begin << 16 | bytes; 0: empty
    size_t size_ = 0;
};

} // namespace tnl::corpus
