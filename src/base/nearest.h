// "Did you mean": the candidate most like what was written.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tnl {

// Least number of inserted, removed, replaced or swapped neighbouring characters.
int edit_distance(std::string_view a, std::string_view b);

// For dotted keys, the last part alone may match: "lr" is near "optimizer.lr". Empty if there are
// no candidates.
std::string nearest(std::string_view written, const std::vector<std::string>& candidates);

} // namespace tnl
