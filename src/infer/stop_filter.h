// Finds stop strings in a text that arrives in pieces. A piece, or its end, that could still be the
// beginning of a stop string is held back until that is ruled out; the stop string itself is never
// passed on. What comes out does not depend on how the text was cut into pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tnl {

class StopFilter {
  public:
    // Each stop string: valid UTF-8, not empty; throws UsageError.
    explicit StopFilter(std::vector<std::string> stops);

    // Takes the next piece; returns what may be shown now. Nothing more after stopped(). With
    // pieces of whole characters, what is returned is whole characters.
    std::string push(std::string_view piece);
    // The end of the text: what was still held back.
    std::string finish();

    bool stopped() const { return found_ != kNone; }
    const std::string& found() const { return stops_[found_]; } // the stop string, when stopped()

  private:
    static constexpr size_t kNone = static_cast<size_t>(-1);
    // Length of the longest end of held_ that begins a stop string.
    size_t open_tail() const;

    std::vector<std::string> stops_;
    std::string held_;
    size_t found_ = kNone;
};

} // namespace tnl
