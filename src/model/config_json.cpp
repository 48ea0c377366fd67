// config.json: released fields and our own, under their names.
#include "base/json.h"
#include "model/config.h"

#include <concepts>
#include <limits>

namespace tnl {
namespace {

[[noreturn]] void wrong(const std::string& file, const char* field, const Json& value,
                        const char* wanted) {
    fail("{}: field \"{}\" is {}, wanted {}", file, field, json_excerpt(value), wanted);
}

class Reader {
  public:
    Reader(const Json& json, const std::string& file) : json_(json), file_(file) {}

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

ModelConfig config_of(const Json& json, const std::string& name) {
    if (!json.is_object()) fail("{}: is {}, wanted a JSON object", name, json_excerpt(json));
    ModelConfig config;
    try {
        config.fields(Reader(json, name));
        // Recent versions of transformers write dtype for torch_dtype.
        if (!json.contains("torch_dtype")) Reader(json, name)("dtype", config.torch_dtype, "");
        for (auto [field, id] : {std::pair{"pad_token_id", &config.pad_token_id},
                                 {"bos_token_id", &config.bos_token_id},
                                 {"eos_token_id", &config.eos_token_id}})
            if (json.contains(field) && json.at(field).is_null()) *id = -1;
        settle_lrpe(json, name, config);
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
    if (full.linear_use_lrpe_list.empty())
        for (int64_t l = 0; l < full.decoder_layers; ++l)
            full.linear_use_lrpe_list.push_back(config.uses_lrpe(l) ? 1 : 0);
    full.torch_dtype = torch_name(dtype_from_name(full.torch_dtype));
    Json json;
    json["architectures"] = {"TransnormerForCausalLM"};
    json["model_type"] = "transnormer";
    full.fields(Writer(json));
    // What the released code would misread stays away: a gate_dim of 0 is no TNL3.
    if (full.gate_dim == 0) json.erase("gate_dim");
    if (full.model_max_length == 0) json.erase("model_max_length");
    for (const char* field : {"pad_token_id", "bos_token_id", "eos_token_id"})
        if (json[field] == -1) json[field] = nullptr;
    json["use_cache"] = true;
    return json.dump(2) + "\n";
}

} // namespace tnl
