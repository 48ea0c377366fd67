#include "model/released.h"

#include "base/json.h"

#include <fmt/ranges.h>

namespace tnl {
namespace {

// "decay_law is paper, wanted alibi", for every such field.
std::vector<std::string> beyond_release(const ModelConfig& config) {
    std::vector<std::string> out;
    const auto want = [&](bool holds, const char* field, const auto& value, const char* wanted) {
        if (!holds) out.push_back(fmt::format("{} is {}, wanted {}", field, value, wanted));
    };
    ModelConfig released = config;
    released.value_act_fun = released.gate_act_fun = "auto";
    released.norm_eps = 0;
    want(config.decay_law == DecayLaw::alibi, "decay_law", name_of(config.decay_law), "alibi");
    want(config.decay_temperature, "decay_temperature", false, "true");
    want(config.value_activation() == released.value_activation(), "value_act_fun",
         config.value_act_fun, "auto");
    want(config.gate_activation() == released.gate_activation(), "gate_act_fun",
         config.gate_act_fun, "auto");
    want(config.glu_act_fun == "none", "glu_act_fun", config.glu_act_fun, "none");
    want(config.output_gate, "output_gate", false, "true");
    want(config.position_embeddings == 0, "position_embeddings", config.position_embeddings, "0");
    want(config.eps() == released.eps(), "norm_eps", config.norm_eps, "0");
    want(config.norm_type != "rmsnorm", "norm_type", config.norm_type,
         "simplermsnorm or layernorm");
    want(config.decoder_layers > 1, "decoder_layers", config.decoder_layers,
         "at least 2 (the released decay divides by their number less one)");
    return out;
}

void refuse_llama(const ModelConfig& config) {
    if (config.is_llama())
        throw UsageError(
            fmt::format("model_type is {}, wanted transnormer (a llama model is already "
                        "as Hugging Face's transformers loads it: import copies it)",
                        config.model_type));
}

void set_auto_map(Json& json) {
    json["auto_map"] = {{"AutoConfig", "configuration_transnormer.TransnormerConfig"},
                        {"AutoModelForCausalLM", "modeling_transnormer.TransnormerForCausalLM"}};
}

} // namespace

std::string huggingface_config_json(const ModelConfig& config) {
    refuse_llama(config);
    Json json = Json::parse(model_config_json(config));
    set_auto_map(json);
    return json.dump(2) + "\n";
}

std::string released_config_json(const ModelConfig& config) {
    refuse_llama(config);
    if (const auto beyond = beyond_release(config); !beyond.empty())
        throw UsageError(fmt::format("the released code cannot compute this model: {}",
                                     fmt::join(beyond, "; ")));
    Json json = Json::parse(model_config_json(config));
    for (const char* own : {"decay_law", "decay_temperature", "value_act_fun", "gate_act_fun",
                            "glu_act_fun", "output_gate", "position_embeddings", "norm_eps"})
        json.erase(own);
    set_auto_map(json);
    return json.dump(2) + "\n";
}

} // namespace tnl
