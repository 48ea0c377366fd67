// What a rule says of a document.
#pragma once

#include <string>
#include <string_view>

namespace tnl::corpus {

struct Verdict {
    bool keep = true;
    std::string rule;                // why not, as datatrove names it
    double value = 0, threshold = 0; // what was measured, and the bound that it passed
    std::string detail;              // what was found, where numbers do not say it

    static Verdict kept() { return {}; }
    static Verdict dropped(std::string rule, double value, double threshold) {
        return {false, std::move(rule), value, threshold, {}};
    }
};

} // namespace tnl::corpus
