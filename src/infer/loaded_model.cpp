#include "infer/loaded_model.h"

#include "base/json.h"
#include "model/adapter.h"

#include <limits>

namespace tnl {
namespace {

DType run_dtype(const std::string& name, const ModelConfig& config) {
    if (name != "auto") {
        const DType dtype = dtype_from_name(name);
        if (dtype != DType::f32 && dtype != DType::bf16)
            throw UsageError(fmt::format("dtype is {}, wanted auto, f32 or bf16", name));
        return dtype;
    }
    return dtype_from_name(config.torch_dtype) == DType::bf16 ? DType::bf16 : DType::f32;
}

// The directory's config, its weights kept as asked for.
ModelConfig config_for(const std::filesystem::path& directory, const std::string& weights) {
    ModelConfig config = load_model_config(directory);
    if (weights == "keep") return config;
    const QuantFormat format = quant_format_from_name(weights);
    if (config.weights.quantized() && config.weights.layers != format)
        throw UsageError(
            fmt::format("weights are wanted as {}, but {} holds {}: take the directory "
                        "that it was made from",
                        weights, directory.string(), name_of(config.weights.layers)));
    if (!config.weights.quantized()) config.weights = weight_formats(format);
    return config;
}

std::filesystem::path tokenizer_of(const std::filesystem::path& directory) {
    const std::filesystem::path found = find_tokenizer(directory);
    return found.empty() ? directory / "tokenizer.model" : found; // which is told missing
}

// One field of a JSON object as a number, absent if null or not there.
template <class T>
std::optional<T> number(const Json& object, const std::string& file, const char* key) {
    const auto it = object.find(key);
    if (it == object.end() || it->is_null()) return std::nullopt;
    if constexpr (std::is_integral_v<T>) return JsonFields(object, file).whole(key);
    return JsonFields(object, file).number(key);
}

} // namespace

LoadedModel::LoadedModel(Unloaded, const std::filesystem::path& directory,
                         const std::string& device_spec, int threads, const std::string& dtype_name,
                         const std::filesystem::path& adapter, const std::string& weights_format)
    : device(make_device(device_spec, threads)), dtype(DType::f32),
      model(config_for(directory, weights_format),
            adapter.empty() ? LoraOptions() : Adapter(adapter).lora()),
      tokenizer(tokenizer_of(directory)) {
    dtype = run_dtype(dtype_name, model.config());
    TNL_CHECK(tokenizer.vocab_size() <= model.config().vocab_size,
              "{}: the tokenizer has {} tokens, but config.json has vocab_size {}",
              directory.string(), tokenizer.vocab_size(), model.config().vocab_size);
}

void LoadedModel::load_weights(const std::filesystem::path& directory) {
    weights = load_weights_to_device(directory, model, *device, dtype);
}

LoadedModel::LoadedModel(const std::filesystem::path& directory, const std::string& device_spec,
                         int threads, const std::string& dtype_name,
                         const std::filesystem::path& adapter, const std::string& weights_format)
    : LoadedModel(Unloaded{}, directory, device_spec, threads, dtype_name, adapter,
                  weights_format) {
    load_weights(directory);
    if (adapter.empty()) return;
    const Adapter file(adapter);
    file.load(model, weights, *device);
    const std::string& trained_on = file.base().checksum;
    if (!trained_on.empty() && trained_on != weights_checksum(directory))
        fmt::print(stderr, "{}: was trained on other weights than those of {} (on {})\n",
                   adapter.string(), directory.string(), file.base().path);
}

std::vector<int32_t> LoadedModel::encode(std::string_view text) const {
    std::vector<int32_t> ids = tokenizer.encode(text);
    if (model.config().add_bos_token || ids.empty()) {
        const auto bos = static_cast<int32_t>(model.config().bos_token_id);
        TNL_CHECK(bos >= 0 && bos < model.config().vocab_size,
                  "the model needs a token to begin with, but bos_token_id is {}", bos);
        ids.insert(ids.begin(), bos);
    }
    return ids;
}

GenerationConfig load_generation_config(const std::filesystem::path& directory) {
    GenerationConfig out;
    const std::filesystem::path path = directory / "generation_config.json";
    if (!std::filesystem::exists(path)) return out;
    const std::string file = path.string();
    const Json json = parse_json_file(path);
    TNL_CHECK(json.is_object(), "{}: wanted an object, found {}", file, json_excerpt(json));
    out.max_new_tokens = number<int64_t>(json, file, "max_new_tokens");
    out.top_k = number<int64_t>(json, file, "top_k");
    out.temperature = number<double>(json, file, "temperature");
    out.top_p = number<double>(json, file, "top_p");
    out.min_p = number<double>(json, file, "min_p");
    out.repetition_penalty = number<double>(json, file, "repetition_penalty");
    if (const auto it = json.find("do_sample"); it != json.end() && !it->is_null()) {
        TNL_CHECK(it->is_boolean(), "{}: do_sample is {}, wanted true or false", file,
                  json_excerpt(*it));
        if (!it->get<bool>()) out.temperature = 0;
    }
    if (const auto it = json.find("eos_token_id"); it != json.end() && !it->is_null()) {
        const Json list = it->is_array() ? *it : Json::array({*it});
        for (const Json& id : list) {
            const bool fits = id.is_number_integer() && id >= -1 && id <= INT32_MAX;
            TNL_CHECK(fits, "{}: eos_token_id is {}, wanted token ids", file, json_excerpt(*it));
            out.end_tokens.push_back(id.get<int32_t>());
        }
    }
    return out;
}

SamplerOptions default_sampler(const GenerationConfig& config, const LoadedModel& loaded) {
    SamplerOptions s;
    s.temperature = config.temperature.value_or(s.temperature);
    s.top_k = config.top_k.value_or(s.top_k);
    s.top_p = config.top_p.value_or(s.top_p);
    s.min_p = config.min_p.value_or(s.min_p);
    s.repetition_penalty = config.repetition_penalty.value_or(s.repetition_penalty);
    for (int64_t id = loaded.tokenizer.vocab_size(); id < loaded.model.config().vocab_size; ++id)
        s.logit_bias.emplace_back(static_cast<int32_t>(id),
                                  -std::numeric_limits<float>::infinity());
    return s;
}

std::vector<int32_t> end_tokens_of(const GenerationConfig& config, const LoadedModel& loaded) {
    if (!config.end_tokens.empty()) return config.end_tokens;
    return {static_cast<int32_t>(loaded.model.config().eos_token_id)};
}

} // namespace tnl
