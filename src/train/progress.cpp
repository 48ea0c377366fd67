#include "train/progress.h"

#include <fmt/format.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

namespace tnl {

std::string format_duration(double seconds) {
    if (!std::isfinite(seconds) || seconds < 0) return "?";
    const auto s = static_cast<int64_t>(std::llround(seconds));
    if (s >= 86400) return fmt::format("{}d {:02}:{:02}", s / 86400, s / 3600 % 24, s / 60 % 60);
    if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    return fmt::format("{}:{:02}", s / 60, s % 60);
}

std::string format_count(double value) {
    constexpr const char* kUnits[] = {"", "k", "M", "G", "T", "P"};
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
        value /= 1000;
        ++unit;
    }
    if (unit == 0) return fmt::format("{:.0f}", value);
    return fmt::format("{:.{}f}{}", value, value < 10 ? 2 : value < 100 ? 1 : 0, kUnits[unit]);
}

std::string progress_line(const ProgressState& s, int width) {
    const double share =
        s.steps > 0 ? static_cast<double>(s.step) / static_cast<double>(s.steps) : 0;
    const int digits = static_cast<int>(fmt::formatted_size("{}", s.steps));
    const std::string head = fmt::format("step {:>{}}/{} ", s.step, digits, s.steps);
    const std::string tail = fmt::format(
        " {:3.0f}%  loss {:.4f}  {} tok/s  {}<{}", std::floor(100 * share), s.loss,
        format_count(s.tokens_per_second), format_duration(s.elapsed), format_duration(s.left));
    // Both are ASCII: their sizes are their widths.
    const int room = std::min(32, width - 1 - static_cast<int>(head.size() + tail.size()));
    std::string bar;
    if (room >= 4) {
        const int full = static_cast<int>(share * room);
        for (int i = 0; i < room; ++i) bar += i < full ? "━" : "─";
    }
    return head + bar + tail;
}

Progress::Progress(int64_t every, std::FILE* out)
    : every_(every), out_(out), terminal_(isatty(fileno(out)) == 1) {}

Progress::~Progress() { clear(); }

void Progress::show(const ProgressState& state) {
    const bool last = state.step == state.steps;
    if (!terminal_) {
        if (!last && state.step % every_ != 0) return;
        fmt::print(out_, "{}\n", progress_line(state, 0)); // no bar
        std::fflush(out_);
        return;
    }
    const auto now = std::chrono::steady_clock::now();
    if (!last && live_ && now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    winsize size{};
    const int width =
        ioctl(fileno(out_), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    fmt::print(out_, "\r{}\x1b[K", progress_line(state, width));
    std::fflush(out_);
    live_ = true;
}

void Progress::print(const std::string& line) {
    fmt::print(out_, "{}{}\n", live_ ? "\r\x1b[K" : "", line);
    std::fflush(out_);
    live_ = false;
}

void Progress::clear() {
    if (live_) fmt::print(out_, "\n");
    live_ = false;
    std::fflush(out_);
}

} // namespace tnl
