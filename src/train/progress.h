// How far a run is, for a person: on a terminal one line that changes in place, in a pipe or a file
// a line now and then.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace tnl {

struct ProgressState {
    int64_t step = 0, steps = 0; // done, of how many
    double loss = 0, tokens_per_second = 0;
    double elapsed = 0, left = 0; // seconds
};

// "step  120/1000 ━━━━━━──────────  12%  loss 3.214  12.3k tok/s  0:12<1:28", at most `width` wide.
std::string progress_line(const ProgressState& state, int width);
std::string format_duration(double seconds); // 0:07, 12:34, 1:02:03, 3d 04:05
std::string format_count(double value);      // 950, 12.3k, 4.56M

class Progress {
  public:
    // every: steps between lines where `out` is no terminal.
    explicit Progress(int64_t every, std::FILE* out = stdout);
    ~Progress(); // leaves the live line
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void show(const ProgressState& state);
    // A line of its own, above the live one.
    void print(const std::string& line);
    void clear(); // ends the live line, keeping it

  private:
    int64_t every_;
    std::FILE* out_;
    bool terminal_, live_ = false;
    std::chrono::steady_clock::time_point last_;
};

} // namespace tnl
