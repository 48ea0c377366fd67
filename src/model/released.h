// A model as the released code (class TransnormerForCausalLM) takes it.
#pragma once

#include "model/config.h"

#include <string>

namespace tnl {

// The released config.json. Throws UsageError naming the fields whose values that code does not
// know: it would load such a model and compute something else.
std::string released_config_json(const ModelConfig& config);

} // namespace tnl
