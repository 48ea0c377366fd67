// Names of units (workspace.h) that are made of one input each.
#pragma once

#include <string>
#include <string_view>

namespace tnl::corpus {

// "rules", "deep/a b" becomes "rules-deep_2fa_20b": names of units are names of files.
std::string unit_name(std::string_view stage, std::string_view input);

} // namespace tnl::corpus
