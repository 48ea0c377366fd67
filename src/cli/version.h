// What this program is and what it was built with.
#pragma once

#include <string>

namespace tnl {

// The version of the project, "0.1.0", and the commit it was built from ("unknown" outside git).
std::string project_version();
std::string project_commit();

// What --version prints: a line for each of version and commit, build, CUDA, processor, libraries.
std::string version_text();

} // namespace tnl
