// A model as Hugging Face's transformers loads it, by the released code (class
// TransnormerForCausalLM) or by ours of the same names, which export writes beside the weights
// (model/huggingface).
#pragma once

#include "model/config.h"

#include <string>
#include <string_view>

namespace tnl {

// config.json for our code: every field, and where that code lies.
std::string huggingface_config_json(const ModelConfig& config);

// Our code, the files configuration_transnormer.py and modeling_transnormer.py.
std::string_view configuration_code();
std::string_view modeling_code();

// The released config.json. Throws UsageError naming the fields whose values that code does not
// know: it would load such a model and compute something else.
std::string released_config_json(const ModelConfig& config);

} // namespace tnl
