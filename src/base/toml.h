// TOML of files that may be wrong.
#pragma once

#include "base/json.h"

#include <string_view>

namespace tnl {

// As JSON; keys of a table in the order of their names, dates as text. Throws Error naming `name`,
// which stands for the file, with line and column; UsageError for nan and inf, which JSON has not.
Json parse_toml(std::string_view text, const std::string& name);

} // namespace tnl
