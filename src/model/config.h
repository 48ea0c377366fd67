// The architecture of one model: the fields of the released config.json under their own names, and
// the choices that the papers ablate as further fields. Files of either published variant load as
// they are: TransNormerLLM (385M, 1B, 7B: fused qkvu, full-rank gate) has no gate_dim; TNL3 (15B:
// low-rank sigmoid gate, activation on v too) has one.
//
// model_type "llama" is the Transformer to compare with (2302.13971): softmax attention with rotary
// positions, RMSNorm with weights, a SwiGLU unit. Its files are those of Hugging Face's
// LlamaForCausalLM (config_llama.cpp); here its sizes have the names of this project.
#pragma once

#include "ops/kernels.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tnl {

// slope of head h (0-based) in layer l:
enum class DecayLaw {
    alibi, // s_h (1 - l/(L-1) + 1e-5), s_h the ALiBi slopes: every released checkpoint
    paper, // (8 (h+1)/H) (1 - l/L): the text of 2307.14995 and 2405.17381
    fla,   // (8/H) (1 - l/L) h: flash-linear-attention's law
    none   // no decay
};

DecayLaw decay_law_from_name(std::string_view name); // throws UsageError with the names
std::string_view name_of(DecayLaw law);

// In what the matrices of the layers and the head are kept, in inference: none is as floats
// (ops/quant/quant.h). Embeddings, norms and biases are always floats.
struct WeightFormats {
    QuantFormat layers = QuantFormat::none, head = QuantFormat::none;
    bool quantized() const { return layers != QuantFormat::none || head != QuantFormat::none; }
    friend bool operator==(const WeightFormats&, const WeightFormats&) = default;
};
// What "int8" or "int4" means for a whole model: the head, whose errors nothing evens out, has 8
// bits.
WeightFormats weight_formats(QuantFormat layers);
// Throws UsageError where a model whose weights are in a format is asked for what wants floats.
void want_floats(const WeightFormats& formats, const char* what);

struct ModelConfig {
    std::string model_type = "transnormer"; // transnormer or llama

    // Released fields.
    int64_t vocab_size = 64000;
    int64_t decoder_embed_dim = 1024;
    int64_t decoder_layers = 24;
    int64_t decoder_attention_heads = 8;
    int64_t hidden_dim = 1024; // width of q, k, v and the gate, all heads together
    int64_t glu_dim = 2816;    // -1: decoder_embed_dim
    int64_t gate_dim = 0;      // > 0: TNL3's low-rank gate of this rank; 0: full rank, in qkvu
    bool no_scale_embedding = false; // false: embeddings are multiplied by sqrt(decoder_embed_dim)
    bool add_bos_token = false;
    bool bias = false;
    bool tie_word_embeddings = true;
    std::string norm_type = "simplermsnorm"; // simplermsnorm, rmsnorm, layernorm
    std::string linear_act_fun = "swish";
    std::vector<int64_t> linear_use_lrpe_list; // 1 where a layer uses LRPE; empty: [1,0,0,...]
    double init_std = 0.02;
    int64_t pad_token_id = 0, bos_token_id = 1, eos_token_id = 2; // -1: none (null in the file)
    int64_t model_max_length = 0; // informative; 0 = none. State and speed do not depend on it
    std::string torch_dtype = "bfloat16"; // dtype of the stored weights

    // Choices the papers ablate. Defaults are the released behaviour of the variant.
    DecayLaw decay_law = DecayLaw::alibi;
    bool decay_temperature = true;      // the layer factor of the decay law (2405.17381 table 6)
    std::string value_act_fun = "auto"; // auto: none for TransNormerLLM, linear_act_fun for TNL3
    std::string gate_act_fun = "auto";  // auto: none for TransNormerLLM, sigmoid for TNL3
    std::string glu_act_fun = "none";   // activation inside the gated linear unit
    bool output_gate = true;            // false: no gate at all
    int64_t position_embeddings = 0;    // > 0: learned absolute positions up to this length (APE)
    double norm_eps = 0;                // 0: the norm's default (1e-6 srms and rms, 1e-5 layer)

    // llama's own. What only TransNormerLLM has stays at its default there.
    int64_t num_key_value_heads = 0; // heads of k and v, a divisor of H; 0: H
    double rope_theta = 10000;       // base of the rotary angles

    WeightFormats weights; // "quantization_config" of the file; no choice of training

    bool is_llama() const { return model_type == "llama"; }
    int64_t key_value_heads() const {
        return num_key_value_heads > 0 ? num_key_value_heads : decoder_attention_heads;
    }
    int64_t head_dim() const { return hidden_dim / decoder_attention_heads; }
    int64_t glu_width() const { return glu_dim == -1 ? decoder_embed_dim : glu_dim; }
    bool low_rank_gate() const { return gate_dim > 0; }
    bool uses_lrpe(int64_t layer) const;
    double embed_scale() const;
    NormKind norm_kind() const;
    float eps() const;
    Activation qk_activation() const;
    Activation value_activation() const;
    Activation gate_activation() const;
    Activation glu_activation() const;
    // The decay rates of a layer, [H], each >= 0; llama's are 0.
    std::vector<double> slopes(int64_t layer) const;
    int64_t parameter_count() const; // every stored parameter, tied embeddings once
    // Bytes of one sequence's f32 state, all layers; llama has none: 0.
    int64_t state_bytes() const;
    // Key width of a layer's state: head_dim, twice that where LRPE concatenates cos and sin.
    int64_t key_dim(int64_t layer) const { return head_dim() * (uses_lrpe(layer) ? 2 : 1); }

    // Whether a field says anything of a model of this model_type.
    bool applies(std::string_view field) const;
    // Throws UsageError naming the field, its value and what would be right.
    void validate() const;

    // Visits every field as visit(name, member, help): drives JSON, flags and docs.
    template <class Visitor> void fields(Visitor&& visit);
};

// "385M", "1B", "3B", "7B", "13B", "15B", "65B", "175B", "tiny", "25M", "llama-385M", ...; throws
// UsageError with the list.
ModelConfig model_preset(const std::string& name);
std::vector<std::string> model_preset_names();

// Throws Error where what wants a recurrent state is asked of a model without: `what` names it.
void want_states(const ModelConfig& config, const char* what);

// Reads a released or own config.json. Unknown keys are kept out (Hugging Face adds its own);
// absent ones take the released class's default. LRPE: without linear_use_lrpe_list, layer 0 alone
// has it (every release); an empty list, there, means that no layer has it, unless the scalar
// linear_use_lrpe, which the released code then falls back to, says that all have.
ModelConfig read_model_config(const std::filesystem::path& path);
// The same of text; `name` stands for the file in errors.
ModelConfig parse_model_config(std::string_view json, const std::string& name);
std::string model_config_json(const ModelConfig& config); // with model_type, architectures

template <class Visitor> void ModelConfig::fields(Visitor&& visit) {
    visit("model_type", model_type,
          "transnormer, or llama: a Transformer of softmax attention to compare with");
    visit("vocab_size", vocab_size, "number of tokens");
    visit("decoder_embed_dim", decoder_embed_dim, "model width C");
    visit("decoder_layers", decoder_layers, "layers L");
    visit("decoder_attention_heads", decoder_attention_heads, "heads H");
    visit("hidden_dim", hidden_dim, "width of q, k, v and gate, all heads together");
    visit("glu_dim", glu_dim, "feed-forward width F; -1 means decoder_embed_dim");
    visit("gate_dim", gate_dim, "rank of TNL3's output gate; 0 means a full-rank gate in qkvu");
    visit("no_scale_embedding", no_scale_embedding, "do not multiply embeddings by sqrt(C)");
    visit("add_bos_token", add_bos_token, "the tokenizer puts bos before a text");
    visit("bias", bias, "linear layers have biases");
    visit("tie_word_embeddings", tie_word_embeddings, "output projection is the embedding");
    visit("norm_type", norm_type, "simplermsnorm, rmsnorm or layernorm");
    visit("linear_act_fun", linear_act_fun, "activation of q and k");
    visit("linear_use_lrpe_list", linear_use_lrpe_list, "1 for each layer that uses LRPE");
    visit("init_std", init_std, "standard deviation of initial weights");
    visit("pad_token_id", pad_token_id, "id of padding");
    visit("bos_token_id", bos_token_id, "id that begins a document");
    visit("eos_token_id", eos_token_id, "id that ends a document");
    visit("model_max_length", model_max_length, "length trained with, informative");
    visit("torch_dtype", torch_dtype, "dtype of the stored weights");
    visit("decay_law", decay_law, "alibi (released), paper, fla or none");
    visit("decay_temperature", decay_temperature, "scale the decay by layer");
    visit("value_act_fun", value_act_fun, "activation of v; auto follows the variant");
    visit("gate_act_fun", gate_act_fun, "activation of the output gate; auto follows the variant");
    visit("glu_act_fun", glu_act_fun, "activation in the gated linear unit");
    visit("output_gate", output_gate, "gate the mixer's output");
    visit("position_embeddings", position_embeddings, "learned absolute positions; 0 means none");
    visit("norm_eps", norm_eps, "epsilon of the norms; 0 means the norm's default");
    visit("num_key_value_heads", num_key_value_heads, "llama: heads of k and v; 0 means H");
    visit("rope_theta", rope_theta, "llama: base of the rotary angles");
}

} // namespace tnl
