// A sequence's state as a file: what a model has read need not be read again, however long it was.
// The file is safetensors: state.<layer> [H,D,E], tokens [n] i32; of one size but for the tokens.
#pragma once

#include "infer/session.h"

#include <filesystem>

namespace tnl {

// Writes the state of a slot that has seen exactly `tokens`; the file appears whole or not at all.
void save_snapshot(const std::filesystem::path& path, const Session& session, int64_t slot,
                   std::span<const int32_t> tokens);

// Gives a slot the state of a file and returns the tokens it has seen. Throws naming the file where
// it is damaged, or comes of a model of other config or weights, or of another dtype of states.
std::vector<int32_t> load_snapshot(const std::filesystem::path& path, Session& session,
                                   int64_t slot);

} // namespace tnl
