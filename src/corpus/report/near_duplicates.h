// The clusters of near-duplicates that dedup found, for people to look at.
#pragma once

#include "base/json.h"

#include <filesystem>
#include <string>
#include <vector>

namespace tnl::corpus {

// Manifests (jobs/workspace.h) of units whose names begin so, by name.
std::vector<std::filesystem::path> manifests(const std::filesystem::path& workspace,
                                             const std::string& prefix);

// Of the output of dedup --mode minhash, from its duplicates/:
//   {"clusters", "documents" (in them), "sizes": [{"from", "to", "clusters"}],
//    "examples": [{"size", "documents": [{"file", "id", "text"}]}]}
// `examples` of the largest clusters, each with its first three documents; texts are cut. What does
// not fit into `memory` bytes is sorted on disk. Throws naming a file that is not there any more.
Json near_duplicates(const std::filesystem::path& workspace, size_t memory, int examples);

} // namespace tnl::corpus
