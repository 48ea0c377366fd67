// Counts of units (workspace.h) have flat names, so that they can be summed; tabs in them stand for
// levels.
#pragma once

#include "base/json.h"

namespace tnl::corpus {

// {"language\ten\tdocuments": 3} becomes {"language": {"en": {"documents": 3}}}.
Json nested_counts(const Json& flat);

// A name's part: tabs in it become spaces.
std::string count_part(std::string_view text);

} // namespace tnl::corpus
