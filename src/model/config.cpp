#include "model/config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <type_traits>

namespace tnl {
namespace {

// Limits that keep every product of sizes within int64: 2^12 layers of 2^45 elements.
constexpr int64_t kMaxLayers = 1 << 12;
constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxGlu = 1 << 22;
constexpr int64_t kMaxIds = (int64_t{1} << 31) - 1; // ids are i32

[[noreturn]] void wrong(const char* field, const std::string& value, const std::string& wanted) {
    throw UsageError(fmt::format("{} is {}, wanted {}", field, value, wanted));
}

void within(const char* field, int64_t value, int64_t low, int64_t high) {
    if (value < low || value > high)
        wrong(field, std::to_string(value), fmt::format("{} to {}", low, high));
}

// "none" is what the released checkpoint without activation says. The released code takes any
// unknown name for the identity; here a misspelt name is an error, as it would train another model
// than the one asked for without a word.
Activation activation(const char* field, const std::string& name) {
    if (name == "none" || name == "identity") return Activation::identity;
    try {
        return activation_from_name(name);
    } catch (const Error&) {
        wrong(field, fmt::format("\"{}\"", name),
              "none, identity, silu, swish, relu, leak, gelu, elu, 1+elu, 2+elu, sigmoid, exp or "
              "sine");
    }
}

// The value of each field, as text.
std::map<std::string, std::string> values_of(ModelConfig config) {
    std::map<std::string, std::string> out;
    config.fields([&]<class T>(const char* name, const T& value, const char*) {
        if constexpr (std::is_same_v<T, DecayLaw>)
            out[name] = name_of(value);
        else if constexpr (std::is_same_v<T, std::vector<int64_t>>)
            out[name] = fmt::format("[{}]", fmt::join(value, ", "));
        else
            out[name] = fmt::format("{}", value);
    });
    return out;
}

// A choice that the model's type does not have would be passed over without a word.
void check_model_type(const ModelConfig& c) {
    if (c.model_type != "transnormer" && !c.is_llama())
        wrong("model_type", fmt::format("\"{}\"", c.model_type), "transnormer or llama");
    const auto given = values_of(c), defaults = values_of(ModelConfig());
    for (const auto& [field, value] : given)
        if (!c.applies(field) && value != defaults.at(field))
            wrong(field.c_str(), value,
                  fmt::format("{}: model_type {} has no such choice", defaults.at(field),
                              c.model_type));
    if (!c.is_llama()) return;
    within("num_key_value_heads", c.num_key_value_heads, 0, c.decoder_attention_heads);
    if (c.decoder_attention_heads % c.key_value_heads() != 0)
        wrong("num_key_value_heads", std::to_string(c.num_key_value_heads),
              fmt::format("a divisor of decoder_attention_heads {}", c.decoder_attention_heads));
    if (c.head_dim() % 2 != 0)
        wrong("hidden_dim", std::to_string(c.hidden_dim),
              fmt::format("an even width for each of the {} heads, which rotary positions turn in "
                          "pairs",
                          c.decoder_attention_heads));
    if (!(c.rope_theta > 0) || !std::isfinite(c.rope_theta))
        wrong("rope_theta", fmt::format("{}", c.rope_theta), "a number above 0, usually 10000");
}

// ALiBi (2108.12409): 2^(-8h/H), h = 1..H, for H a power of two; else the slopes of the power of
// two below, followed by every second one of the power of two above.
std::vector<double> alibi_slopes(int64_t heads) {
    int64_t power = 1;
    while (power * 2 <= heads) power *= 2;
    std::vector<double> slopes;
    for (int64_t h = 1; h <= power; ++h)
        slopes.push_back(std::exp2(-8.0 * static_cast<double>(h) / static_cast<double>(power)));
    for (int64_t h = 1; static_cast<int64_t>(slopes.size()) < heads; h += 2)
        slopes.push_back(std::exp2(-4.0 * static_cast<double>(h) / static_cast<double>(power)));
    return slopes;
}

} // namespace

DecayLaw decay_law_from_name(std::string_view name) {
    for (DecayLaw law : {DecayLaw::alibi, DecayLaw::paper, DecayLaw::fla, DecayLaw::none})
        if (name == name_of(law)) return law;
    throw UsageError(
        fmt::format("unknown decay law \"{}\", wanted alibi, paper, fla or none", name));
}

std::string_view name_of(DecayLaw law) {
    switch (law) {
    case DecayLaw::alibi:
        return "alibi";
    case DecayLaw::paper:
        return "paper";
    case DecayLaw::fla:
        return "fla";
    case DecayLaw::none:
        return "none";
    }
    return "?";
}

WeightFormats weight_formats(QuantFormat layers) {
    return {layers, layers == QuantFormat::none ? QuantFormat::none : QuantFormat::int8};
}

void want_floats(const WeightFormats& formats, const char* what) {
    if (formats.quantized())
        throw UsageError(
            fmt::format("{} wants weights as floats, these are {} (head: {}): take the "
                        "directory that they were made from",
                        what, name_of(formats.layers), name_of(formats.head)));
}

bool ModelConfig::applies(std::string_view field) const {
    constexpr std::string_view kTransnormer[] = {"gate_dim",
                                                 "no_scale_embedding",
                                                 "bias",
                                                 "norm_type",
                                                 "decay_law",
                                                 "decay_temperature",
                                                 "gate_act_fun",
                                                 "value_act_fun",
                                                 "output_gate",
                                                 "position_embeddings",
                                                 "glu_act_fun",
                                                 "linear_act_fun",
                                                 "linear_use_lrpe_list"};
    constexpr std::string_view kLlama[] = {"num_key_value_heads", "rope_theta"};
    const auto others = is_llama() ? std::span<const std::string_view>(kTransnormer)
                                   : std::span<const std::string_view>(kLlama);
    return std::ranges::find(others, field) == others.end();
}

bool ModelConfig::uses_lrpe(int64_t layer) const {
    if (is_llama()) return false;
    if (linear_use_lrpe_list.empty()) return layer == 0;
    const auto l = static_cast<size_t>(layer);
    return l < linear_use_lrpe_list.size() && linear_use_lrpe_list[l] != 0;
}

double ModelConfig::embed_scale() const {
    return is_llama() || no_scale_embedding ? 1.0
                                            : std::sqrt(static_cast<double>(decoder_embed_dim));
}

NormKind ModelConfig::norm_kind() const {
    if (is_llama()) return NormKind::rms;
    if (norm_type == "simplermsnorm" || norm_type == "srmsnorm") return NormKind::srms;
    if (norm_type == "rmsnorm") return NormKind::rms;
    // The released code takes every other name for torch's LayerNorm; only its usual names here.
    if (norm_type == "layernorm" || norm_type == "layer_norm") return NormKind::layer;
    wrong("norm_type", fmt::format("\"{}\"", norm_type), "simplermsnorm, rmsnorm or layernorm");
}

float ModelConfig::eps() const {
    if (norm_eps > 0) return static_cast<float>(norm_eps);
    return norm_kind() == NormKind::layer ? 1e-5f : 1e-6f;
}

Activation ModelConfig::qk_activation() const {
    return activation("linear_act_fun", linear_act_fun);
}

Activation ModelConfig::value_activation() const {
    if (value_act_fun == "auto") return low_rank_gate() ? qk_activation() : Activation::identity;
    return activation("value_act_fun", value_act_fun);
}

Activation ModelConfig::gate_activation() const {
    if (gate_act_fun == "auto") return low_rank_gate() ? Activation::sigmoid : Activation::identity;
    return activation("gate_act_fun", gate_act_fun);
}

Activation ModelConfig::glu_activation() const {
    return is_llama() ? Activation::silu : activation("glu_act_fun", glu_act_fun);
}

std::vector<double> ModelConfig::slopes(int64_t layer) const {
    TNL_CHECK(layer >= 0 && layer < decoder_layers, "layer {} of {}", layer, decoder_layers);
    const int64_t H = decoder_attention_heads;
    const auto heads = static_cast<double>(H), l = static_cast<double>(layer);
    const auto layers = static_cast<double>(decoder_layers);
    std::vector<double> out(static_cast<size_t>(H), 0.0);
    if (is_llama() || decay_law == DecayLaw::none) return out;
    if (decay_law == DecayLaw::alibi) {
        out = alibi_slopes(H);
        // The released code divides by L-1; a single layer is taken for the first of many. The 1e-5
        // keeps the last layer's decay from vanishing.
        const double depth = l / std::max(layers - 1, 1.0);
        const double factor = decay_temperature ? 1 - depth + 1e-5 : 1;
        for (double& slope : out) slope *= factor;
        return out;
    }
    const double factor = decay_temperature ? 1 - l / layers : 1;
    const int first = decay_law == DecayLaw::paper ? 1 : 0;
    for (int64_t h = 0; h < H; ++h)
        out[static_cast<size_t>(h)] = 8 * static_cast<double>(h + first) / heads * factor;
    return out;
}

int64_t ModelConfig::parameter_count() const {
    const int64_t C = decoder_embed_dim, h = hidden_dim, F = glu_width();
    const int64_t embeddings = vocab_size * C * (tie_word_embeddings ? 1 : 2);
    if (is_llama()) {
        const int64_t keys = key_value_heads() * head_dim();
        return decoder_layers * (2 * C * (h + keys) + 3 * C * F + 2 * C) + C + embeddings;
    }
    const int64_t norm_vectors =
        norm_kind() == NormKind::srms ? 0 : (norm_kind() == NormKind::rms ? 1 : 2);
    const bool low_rank = output_gate && low_rank_gate();
    const int64_t parts = output_gate && !low_rank ? 4 : 3; // q k v (u)
    int64_t layer = parts * h * C + h * C + 3 * C * F;
    if (low_rank) layer += gate_dim * (C + h);
    if (bias) layer += parts * h + C + 2 * F + C + (low_rank ? gate_dim + h : 0);
    layer += norm_vectors * (2 * C + h);
    int64_t total = decoder_layers * layer + norm_vectors * C;
    for (int64_t l = 0; l < decoder_layers; ++l)
        if (uses_lrpe(l)) total += h;
    return total + embeddings + position_embeddings * C;
}

int64_t ModelConfig::state_bytes() const {
    if (is_llama()) return 0;
    int64_t elements = 0;
    for (int64_t l = 0; l < decoder_layers; ++l)
        elements += decoder_attention_heads * key_dim(l) * head_dim();
    return elements * static_cast<int64_t>(sizeof(float));
}

void ModelConfig::validate() const {
    within("vocab_size", vocab_size, 1, kMaxIds);
    within("decoder_embed_dim", decoder_embed_dim, 1, kMaxWidth);
    within("decoder_layers", decoder_layers, 1, kMaxLayers);
    within("decoder_attention_heads", decoder_attention_heads, 1, kMaxWidth);
    within("hidden_dim", hidden_dim, 1, kMaxWidth);
    if (hidden_dim % decoder_attention_heads != 0)
        wrong("hidden_dim", std::to_string(hidden_dim),
              fmt::format("a multiple of decoder_attention_heads {}", decoder_attention_heads));
    if (glu_dim != -1) within("glu_dim", glu_dim, 1, kMaxGlu);
    within("gate_dim", gate_dim, 0, kMaxWidth);
    within("position_embeddings", position_embeddings, 0, kMaxIds);
    within("model_max_length", model_max_length, 0, int64_t{1} << 62);
    within("pad_token_id", pad_token_id, -1, vocab_size - 1);
    within("bos_token_id", bos_token_id, -1, kMaxIds);
    within("eos_token_id", eos_token_id, -1, kMaxIds);
    if (!linear_use_lrpe_list.empty() &&
        static_cast<int64_t>(linear_use_lrpe_list.size()) != decoder_layers)
        wrong("linear_use_lrpe_list", fmt::format("{} long", linear_use_lrpe_list.size()),
              fmt::format("one entry for each of the {} layers", decoder_layers));
    for (int64_t use : linear_use_lrpe_list) within("linear_use_lrpe_list's entry", use, 0, 1);
    if (!(init_std > 0) || !std::isfinite(init_std))
        wrong("init_std", fmt::format("{}", init_std), "a number above 0");
    if (!(norm_eps >= 0) || !std::isfinite(norm_eps))
        wrong("norm_eps", fmt::format("{}", norm_eps), "0 (the norm's default) or more");
    try {
        static_cast<void>(dtype_from_name(torch_dtype));
    } catch (const Error&) {
        wrong("torch_dtype", fmt::format("\"{}\"", torch_dtype),
              "float32, bfloat16, float16 or float64");
    }
    static_cast<void>(norm_kind());
    static_cast<void>(qk_activation());
    static_cast<void>(value_activation());
    static_cast<void>(gate_activation());
    static_cast<void>(glu_activation());
    check_model_type(*this);
}

void want_states(const ModelConfig& config, const char* what) {
    if (config.is_llama())
        fail("{}: model_type is llama, whose softmax attention has no recurrent state; wanted a "
             "model of model_type transnormer. A llama model can be trained, evaluated, inspected "
             "and measured here; its checkpoints are Hugging Face's, to be run by transformers",
             what);
}

} // namespace tnl
