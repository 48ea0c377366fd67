// config.json: released fields and our own, under their names; of llama, Hugging Face's.
#include "base/json.h"
#include "model/config.h"

#include <concepts>
#include <limits>

namespace tnl {
namespace {

constexpr const char* kQuantMethod = "transnormer";

[[noreturn]] void wrong(const std::string& file, const char* field, const Json& value,
                        const char* wanted) {
    fail("{}: field \"{}\" is {}, wanted {}", file, field, json_excerpt(value), wanted);
}

class ConfigReader {
  public:
    ConfigReader(const Json& json, const std::string& file) : json_(json), file_(file) {}

    // A field that is absent, or null (which Hugging Face writes for "none"), keeps its default.
    template <class T> void operator()(const char* field, T& member, const char*) {
        const auto found = json_.find(field);
        if (found != json_.end() && !found->is_null()) read(field, *found, member);
    }

  private:
    int64_t integer(const char* field, const Json& value) const {
        if (!value.is_number_integer() ||
            (value.is_number_unsigned() &&
             value.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}))
            wrong(file_, field, value, "an integer");
        return value.get<int64_t>();
    }
    void read(const char* field, const Json& value, int64_t& member) const {
        member = integer(field, value);
    }
    void read(const char* field, const Json& value, bool& member) const {
        if (!value.is_boolean()) wrong(file_, field, value, "true or false");
        member = value.get<bool>();
    }
    void read(const char* field, const Json& value, double& member) const {
        if (!value.is_number()) wrong(file_, field, value, "a number");
        member = value.get<double>();
    }
    void read(const char* field, const Json& value, std::string& member) const {
        if (!value.is_string()) wrong(file_, field, value, "a string");
        member = value.get<std::string>();
    }
    void read(const char* field, const Json& value, std::vector<int64_t>& member) const {
        if (!value.is_array()) wrong(file_, field, value, "a list of 0 and 1");
        member.clear();
        for (const Json& entry : value)
            member.push_back(entry.is_boolean() ? int64_t{entry.get<bool>()}
                                                : integer(field, entry));
    }
    void read(const char* field, const Json& value, DecayLaw& member) const {
        std::string name;
        read(field, value, name);
        member = decay_law_from_name(name);
    }

    const Json& json_;
    const std::string& file_;
};

// See the contract in config.h.
void settle_lrpe(const Json& json, const std::string& file, ModelConfig& config) {
    auto& list = config.linear_use_lrpe_list;
    if (config.decoder_layers < 1) return; // validate() will say so
    const auto layers = static_cast<size_t>(config.decoder_layers);
    if (list.size() > layers) list.resize(layers); // the released code reads the first L
    if (!list.empty()) return;
    const bool given = json.contains("linear_use_lrpe_list");
    const auto all = json.find("linear_use_lrpe");
    if (all != json.end() && !all->is_null()) {
        if (!all->is_boolean() && !all->is_number_integer())
            wrong(file, "linear_use_lrpe", *all, "0 or 1");
        const bool use = all->is_boolean() ? all->get<bool>() : all->get<int64_t>() != 0;
        list.assign(layers, use ? 1 : 0);
    } else if (given) {
        list.assign(layers, 0);
    }
}

// Of our own making, or none: weights in another's format are another's to read.
WeightFormats formats_of(const Json& json, const std::string& file) {
    const auto found = json.find("quantization_config");
    if (found == json.end() || found->is_null()) return {};
    const JsonFields fields(*found, file + ": quantization_config");
    if (fields.text("quant_method") != kQuantMethod)
        fail("{}: quantization_config: \"quant_method\" is {}, wanted \"{}\"", file,
             json_excerpt(fields.at("quant_method")), kQuantMethod);
    WeightFormats out;
    for (const auto& [field, member] : {std::pair{"layers", &out.layers}, {"head", &out.head}})
        try {
            *member = quant_format_from_name(fields.text(field));
        } catch (const UsageError& error) {
            fail("{}: quantization_config: \"{}\": {}", file, field, error.what());
        }
    return out;
}

class Writer {
  public:
    explicit Writer(Json& json) : json_(json) {}
    template <class T> void operator()(const char* field, const T& member, const char*) {
        if constexpr (std::same_as<T, DecayLaw>)
            json_[field] = std::string(name_of(member));
        else
            json_[field] = member;
    }

  private:
    Json& json_;
};

std::string_view torch_name(DType dtype) {
    switch (dtype) {
    case DType::f64:
        return "float64";
    case DType::bf16:
        return "bfloat16";
    case DType::f16:
        return "float16";
    default:
        return "float32";
    }
}

// The fields of LlamaConfig that a size or number of ours is kept in: visit(name, member).
template <class Visitor> void llama_fields(ModelConfig& c, Visitor&& visit) {
    visit("vocab_size", c.vocab_size, "");
    visit("hidden_size", c.decoder_embed_dim, "");
    visit("intermediate_size", c.glu_dim, "");
    visit("num_hidden_layers", c.decoder_layers, "");
    visit("num_attention_heads", c.decoder_attention_heads, "");
    visit("num_key_value_heads", c.num_key_value_heads, "");
    visit("rms_norm_eps", c.norm_eps, "");
    visit("rope_theta", c.rope_theta, "");
    visit("max_position_embeddings", c.model_max_length, "");
    visit("initializer_range", c.init_std, "");
    visit("tie_word_embeddings", c.tie_word_embeddings, "");
    visit("pad_token_id", c.pad_token_id, "");
    visit("bos_token_id", c.bos_token_id, "");
    visit("eos_token_id", c.eos_token_id, "");
    visit("torch_dtype", c.torch_dtype, "");
    visit("add_bos_token", c.add_bos_token, ""); // ours: there it is the tokenizer's
}

// What LlamaConfig can say and this model does not compute.
void check_llama(const Json& json, const std::string& file) {
    const auto only = [&](const Json& in, const char* field, const Json& wanted) {
        const auto found = in.find(field);
        if (found != in.end() && !found->is_null() && *found != wanted)
            wrong(file, field, *found, wanted.dump().c_str());
    };
    only(json, "hidden_act", "silu");
    only(json, "attention_bias", false);
    only(json, "mlp_bias", false);
    for (const char* field : {"rope_scaling", "rope_parameters"}) {
        const auto rope = json.find(field);
        if (rope == json.end() || rope->is_null()) continue;
        if (!rope->is_object()) wrong(file, field, *rope, "null or an object");
        for (const char* kind : {"rope_type", "type"}) only(*rope, kind, "default");
    }
}

// A LlamaConfig; what it leaves out has the values of that class.
ModelConfig llama_of(const Json& json, const std::string& name) {
    check_llama(json, name);
    ModelConfig c;
    c.model_type = "llama";
    c.vocab_size = 32000;
    c.decoder_embed_dim = 4096;
    c.glu_dim = 11008;
    c.decoder_layers = c.decoder_attention_heads = 32;
    c.tie_word_embeddings = false;
    c.pad_token_id = -1;
    c.torch_dtype = "float32";
    llama_fields(c, ConfigReader(json, name));
    if (const auto rope = json.find("rope_parameters"); rope != json.end() && rope->is_object())
        ConfigReader(*rope, name)("rope_theta", c.rope_theta, "");
    c.hidden_dim = c.decoder_embed_dim;
    if (const auto D = json.find("head_dim"); D != json.end() && !D->is_null()) {
        int64_t width = 0;
        ConfigReader(json, name)("head_dim", width, "");
        if (width < 1 || width > (1 << 20)) wrong(name, "head_dim", *D, "1 to 1048576");
        if (c.decoder_attention_heads > 0 && c.decoder_attention_heads <= (1 << 20))
            c.hidden_dim = width * c.decoder_attention_heads;
    }
    return c;
}

Json llama_json(const ModelConfig& config) {
    ModelConfig full = config;
    full.glu_dim = config.glu_width();
    full.num_key_value_heads = config.key_value_heads();
    if (full.norm_eps == 0) full.norm_eps = 1e-6; // as eps()
    Json json;
    json["architectures"] = {"LlamaForCausalLM"};
    json["model_type"] = "llama";
    llama_fields(full, Writer(json));
    json["head_dim"] = config.head_dim();
    json["hidden_act"] = "silu";
    json["attention_bias"] = json["mlp_bias"] = false;
    if (config.model_max_length == 0) json.erase("max_position_embeddings");
    return json;
}

Json transnormer_json(ModelConfig full) {
    if (full.linear_use_lrpe_list.empty())
        for (int64_t l = 0; l < full.decoder_layers; ++l)
            full.linear_use_lrpe_list.push_back(l == 0 ? 1 : 0); // as uses_lrpe
    Json json;
    json["architectures"] = {"TransnormerForCausalLM"};
    full.fields(Writer(json));
    // What the released code would misread stays away: a gate_dim of 0 is no TNL3.
    if (full.gate_dim == 0) json.erase("gate_dim");
    if (full.model_max_length == 0) json.erase("model_max_length");
    for (const char* llama : {"num_key_value_heads", "rope_theta"}) json.erase(llama);
    return json;
}

ModelConfig config_of(const Json& json, const std::string& name) {
    if (!json.is_object()) fail("{}: is {}, wanted a JSON object", name, json_excerpt(json));
    ModelConfig config;
    try {
        if (const auto type = json.find("model_type"); type != json.end() && *type == "llama")
            config = llama_of(json, name);
        else
            config.fields(ConfigReader(json, name));
        // Recent versions of transformers write dtype for torch_dtype.
        if (!json.contains("torch_dtype"))
            ConfigReader(json, name)("dtype", config.torch_dtype, "");
        for (auto [field, id] : {std::pair{"pad_token_id", &config.pad_token_id},
                                 {"bos_token_id", &config.bos_token_id},
                                 {"eos_token_id", &config.eos_token_id}})
            if (json.contains(field) && json.at(field).is_null()) *id = -1;
        if (!config.is_llama()) settle_lrpe(json, name, config);
        config.weights = formats_of(json, name);
        config.validate();
    } catch (const UsageError& error) {
        fail("{}: {}", name, error.what());
    }
    return config;
}

} // namespace

ModelConfig parse_model_config(std::string_view text, const std::string& name) {
    return config_of(parse_json(text, name), name);
}

ModelConfig read_model_config(const std::filesystem::path& path) {
    return config_of(parse_json_file(path), path.string());
}

std::string model_config_json(const ModelConfig& config) {
    ModelConfig full = config;
    full.torch_dtype = torch_name(dtype_from_name(full.torch_dtype));
    Json json = full.is_llama() ? llama_json(full) : transnormer_json(full);
    for (const char* field : {"pad_token_id", "bos_token_id", "eos_token_id"})
        if (json[field] == -1) json[field] = nullptr;
    json["use_cache"] = true;
    if (config.weights.quantized())
        json["quantization_config"] = {{"quant_method", kQuantMethod},
                                       {"layers", name_of(config.weights.layers)},
                                       {"head", name_of(config.weights.head)}};
    return json.dump(2) + "\n";
}

} // namespace tnl
